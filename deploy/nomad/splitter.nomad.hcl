# Splitters: they read sources from the place that all share, and hand out packets over QUIC.
#
#   nomad job run deploy/nomad/splitter.nomad.hcl

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

job "vtp-splitter" {
  datacenters = var.datacenters
  type        = "service"
  priority    = 60

  group "splitter" {
    count = var.count

    constraint {
      operator = "distinct_hosts"
      value    = "true"
    }

    update {
      max_parallel = 1
      auto_revert  = true
    }

    # The sources, as stitchers see them, too, under the same path.
    volume "films" {
      type            = "host"
      source          = "vtp-films"
      read_only       = true
      access_mode     = "multi-node-reader-only"
      attachment_mode = "file-system"
    }

    network {
      port "quic" {
        static = 4433
      }
      port "metrics" {}
    }

    service {
      name     = "vtp-splitter-metrics"
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

    task "splitter" {
      driver       = "exec"
      kill_timeout = "20s"

      config {
        command = var.vtp
        args = [
          "splitter",
          "--cluster", var.nats,
          "--credentials", "${NOMAD_SECRETS_DIR}",
          "--name", "splitter-${NOMAD_ALLOC_INDEX}",
          "--host", "${attr.unique.hostname}",
          "--port", "${NOMAD_PORT_quic}",
          "--folder", "${NOMAD_TASK_DIR}",
          "--keep", "16GiB",
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

      template {
        destination = "secrets/login.env"
        env         = true
        data        = <<EOT
{{ with nomadVar (print "nomad/jobs/vtp-splitter/" (env "NOMAD_ALLOC_INDEX")) }}VTP_NATS_LOGIN=splitter-{{ env "NOMAD_ALLOC_INDEX" }}:{{ .password }}{{ end }}
EOT
      }

      # How S3 is reached, where sources or ladders are there: AWS_ACCESS_KEY_ID=... and so on, a line each.
      template {
        destination = "secrets/store.env"
        env         = true
        data        = "{{ with nomadVar \"nomad/jobs/vtp-splitter\" }}{{ with .store }}{{ . }}{{ end }}{{ end }}"
      }

      template {
        destination = "secrets/ca.crt"
        data        = "{{ with nomadVar \"nomad/jobs/vtp-splitter\" }}{{ .ca }}{{ end }}"
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/splitter-${NOMAD_ALLOC_INDEX}.crt"
        data        = "{{ with nomadVar (print \"nomad/jobs/vtp-splitter/\" (env \"NOMAD_ALLOC_INDEX\")) }}{{ .certificate }}{{ end }}"
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/splitter-${NOMAD_ALLOC_INDEX}.key"
        perms       = "600"
        data        = "{{ with nomadVar (print \"nomad/jobs/vtp-splitter/\" (env \"NOMAD_ALLOC_INDEX\")) }}{{ .key }}{{ end }}"
      }

      resources {
        cpu    = 2000
        memory = 4096
      }
    }
  }
}
