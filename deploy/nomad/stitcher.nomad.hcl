# Stitchers: they take in what nodes have encoded, prove it, and write ladders to the place that all share.
#
#   nomad job run deploy/nomad/stitcher.nomad.hcl

variable "datacenters" {
  type    = list(string)
  default = ["dc1"]
}

variable "vtp" {
  type        = string
  default     = "/usr/local/bin/vtp"
  description = "The binary on the clients; the same build everywhere"
}

variable "nats" {
  type        = string
  default     = "nats://nats-1:4222,nats://nats-2:4222,nats://nats-3:4222"
  description = "The NATS servers, parted by commas"
}

variable "traces" {
  type        = string
  default     = ""
  description = "Where spans go by OTLP over HTTP, such as http://collector:4318; nowhere if empty"
}

variable "count" {
  type    = number
  default = 1
}

job "vtp-stitcher" {
  datacenters = var.datacenters
  type        = "service"
  priority    = 60

  group "stitcher" {
    count = var.count

    constraint {
      operator = "distinct_hosts"
      value    = "true"
    }

    update {
      max_parallel = 1
      auto_revert  = true
    }

    # The sources, as splitters see them, too, under the same path.
    volume "films" {
      type            = "host"
      source          = "vtp-films"
      read_only       = true
      access_mode     = "multi-node-reader-only"
      attachment_mode = "file-system"
    }

    volume "ladders" {
      type            = "host"
      source          = "vtp-ladders"
      access_mode     = "multi-node-multi-writer"
      attachment_mode = "file-system"
    }

    # Encoded chunks: with them a stitcher that was started again goes on where it was.
    volume "stitcher" {
      type            = "host"
      source          = "vtp-stitcher"
      access_mode     = "single-node-single-writer"
      attachment_mode = "file-system"
    }

    network {
      port "quic" {
        static = 4434
      }
      port "metrics" {}
    }

    service {
      name     = "vtp-stitcher-metrics"
      port     = "metrics"
      provider = "nomad"
      tags     = ["metrics"]

      check {
        type     = "http"
        path     = "/metrics"
        interval = "10s"
        timeout  = "2s"
      }
    }

    task "stitcher" {
      driver       = "exec"
      # What is not finished within --drain is handed back, and goes on elsewhere.
      kill_timeout = "75s"

      config {
        command = var.vtp
        args = [
          "stitcher",
          "--cluster", var.nats,
          "--credentials", "${NOMAD_SECRETS_DIR}",
          "--name", "stitcher-${NOMAD_ALLOC_INDEX}",
          "--host", "${attr.unique.hostname}",
          "--port", "${NOMAD_PORT_quic}",
          "--data", "/var/lib/vtp/stitcher",
          "--slots", "8",
          "--drain", "60s",
          "--metrics", "0.0.0.0:${NOMAD_PORT_metrics}",
        ]
      }

      env {
        OTEL_EXPORTER_OTLP_ENDPOINT = var.traces
      }

      volume_mount {
        volume      = "films"
        destination = "/films"
        read_only   = true
      }

      volume_mount {
        volume      = "ladders"
        destination = "/ladders"
      }

      volume_mount {
        volume      = "stitcher"
        destination = "/var/lib/vtp/stitcher"
      }

      template {
        destination = "secrets/login.env"
        env         = true
        data        = <<EOT
{{ with nomadVar (print "nomad/jobs/vtp-stitcher/" (env "NOMAD_ALLOC_INDEX")) }}VTP_NATS_LOGIN=stitcher-{{ env "NOMAD_ALLOC_INDEX" }}:{{ .password }}{{ end }}
EOT
      }

      # How S3 is reached, where sources or ladders are there: AWS_ACCESS_KEY_ID=... and so on, a line each.
      template {
        destination = "secrets/store.env"
        env         = true
        data        = "{{ with nomadVar \"nomad/jobs/vtp-stitcher\" }}{{ with .store }}{{ . }}{{ end }}{{ end }}"
      }

      template {
        destination = "secrets/ca.crt"
        data        = "{{ with nomadVar \"nomad/jobs/vtp-stitcher\" }}{{ .ca }}{{ end }}"
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/stitcher-${NOMAD_ALLOC_INDEX}.crt"
        data        = "{{ with nomadVar (print \"nomad/jobs/vtp-stitcher/\" (env \"NOMAD_ALLOC_INDEX\")) }}{{ .certificate }}{{ end }}"
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/stitcher-${NOMAD_ALLOC_INDEX}.key"
        perms       = "600"
        data        = "{{ with nomadVar (print \"nomad/jobs/vtp-stitcher/\" (env \"NOMAD_ALLOC_INDEX\")) }}{{ .key }}{{ end }}"
      }

      resources {
        cpu    = 2000
        memory = 4096
      }
    }
  }
}
