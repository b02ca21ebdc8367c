# Two drivers with one ledger, in Postgres: one leads, the other stands by and takes over within seconds. While none is there nodes
# go on with what they have.
#
#   nomad job run deploy/nomad/driver.nomad.hcl

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

job "vtp-driver" {
  datacenters = var.datacenters
  type        = "service"
  priority    = 75

  group "driver" {
    # One leads, by a lease in the ledger.
    count = 2

    constraint {
      operator = "distinct_hosts"
      value    = "true"
    }

    update {
      max_parallel = 1
      auto_revert  = true
    }

    restart {
      attempts = 10
      interval = "10m"
      delay    = "1s"
      mode     = "delay"
    }

    network {
      port "metrics" {}
    }

    service {
      name     = "vtp-driver-metrics"
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

    task "driver" {
      driver       = "exec"
      kill_timeout = "10s"

      config {
        command = var.vtp
        args = [
          "driver",
          "--cluster", var.nats,
          "--replicas", "3",
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
{{ with nomadVar "nomad/jobs/vtp-driver" }}
VTP_NATS_LOGIN=driver:{{ .password }}
VTP_LEDGER={{ .ledger }}
{{ end }}
EOT
      }

      resources {
        cpu    = 1000
        memory = 1024
      }
    }
  }
}
