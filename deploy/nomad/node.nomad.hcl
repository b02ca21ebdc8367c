# Nodes that encode on their processors. They see packets alone, so they need no volume. More are started while tasks wait.
#
#   nomad job run deploy/nomad/node.nomad.hcl

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
  type        = number
  default     = 3
  description = "The fewest nodes"
}

variable "most" {
  type        = number
  default     = 100
  description = "The most nodes"
}

variable "slots" {
  type        = number
  default     = 16
  description = "Chunks at the same time on a node: its cores"
}

job "vtp-node" {
  datacenters = var.datacenters
  type        = "service"
  priority    = 50

  group "node" {
    count = var.count

    constraint {
      operator = "distinct_hosts"
      value    = "true"
    }

    update {
      # Without canaries: a node's name is its place, and no two may have one at a time.
      max_parallel = 5
      auto_revert  = true
    }

    # As many as it takes for tasks to wait a minute at most, 95 times of 100 (nomad-autoscaler with its Prometheus source).
    scaling {
      enabled = true
      min     = var.count
      max     = var.most

      policy {
        cooldown            = "2m"
        evaluation_interval = "30s"

        check "queue_wait" {
          source       = "prometheus"
          query        = "histogram_quantile(0.95, sum(rate(vtp_queue_wait_seconds_bucket{pool=\"cpu\"}[5m])) by (le))"
          query_window = "5m"

          strategy "target-value" {
            target = 60
          }
        }

        # What waits, for as long as nothing of it was given out; also where there is no node at all.
        check "backlog" {
          source       = "prometheus"
          query        = "max(vtp_tasks_waiting{pool=\"cpu\"}) / clamp_min(sum(vtp_slots{pool=\"cpu\"}) or vector(0), 1)"
          query_window = "1m"

          strategy "target-value" {
            target = 2
          }
        }
      }
    }

    network {
      port "metrics" {}
    }

    service {
      name     = "vtp-node-metrics"
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

    task "node" {
      driver       = "exec"
      # Longer than --drain; the clients' max_kill_timeout has to allow it.
      kill_timeout = "120s"

      config {
        command = var.vtp
        args = [
          "node",
          "--cluster", var.nats,
          "--credentials", "${NOMAD_SECRETS_DIR}",
          "--name", "node-${NOMAD_ALLOC_INDEX}",
          "--folder", "${NOMAD_TASK_DIR}",
          "--slots", var.slots,
          "--drain", "100s",
          "--metrics", "0.0.0.0:${NOMAD_PORT_metrics}",
        ]
      }

      env {
        OTEL_EXPORTER_OTLP_ENDPOINT = var.traces
      }

      template {
        destination = "secrets/login.env"
        env         = true
        data        = <<EOT
{{ with nomadVar (print "nomad/jobs/vtp-node/" (env "NOMAD_ALLOC_INDEX")) }}VTP_NATS_LOGIN=node-{{ env "NOMAD_ALLOC_INDEX" }}:{{ .password }}{{ end }}
EOT
      }

      template {
        destination = "secrets/ca.crt"
        data        = "{{ with nomadVar \"nomad/jobs/vtp-node\" }}{{ .ca }}{{ end }}"
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/node-${NOMAD_ALLOC_INDEX}.crt"
        data        = "{{ with nomadVar (print \"nomad/jobs/vtp-node/\" (env \"NOMAD_ALLOC_INDEX\")) }}{{ .certificate }}{{ end }}"
      }

      template {
        destination = "${NOMAD_SECRETS_DIR}/node-${NOMAD_ALLOC_INDEX}.key"
        perms       = "600"
        data        = "{{ with nomadVar (print \"nomad/jobs/vtp-node/\" (env \"NOMAD_ALLOC_INDEX\")) }}{{ .key }}{{ end }}"
      }

      resources {
        cores  = var.slots
        memory = 32768
      }
    }
  }
}
