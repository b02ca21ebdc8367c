# Three NATS servers with JetStream, each on a machine of its own. One of them may be lost.
#
#   nomad job run deploy/nomad/nats.nomad.hcl

variable "datacenters" {
  type    = list(string)
  default = ["dc1"]
}

variable "nats_server" {
  type        = string
  default     = "/usr/local/bin/nats-server"
  description = "nats-server 2.10 or newer on the clients"
}

job "vtp-nats" {
  datacenters = var.datacenters
  type        = "service"
  # Before all that needs it.
  priority = 80

  update {
    # One at a time, and the next when this one is in step again.
    max_parallel     = 1
    min_healthy_time = "30s"
    healthy_deadline = "5m"
    auto_revert      = true
  }

  group "nats" {
    count = 3

    constraint {
      operator = "distinct_hosts"
      value    = "true"
    }

    # What JetStream has on its disk stays where it is.
    volume "nats" {
      type            = "host"
      source          = "vtp-nats"
      access_mode     = "single-node-single-writer"
      attachment_mode = "file-system"
    }

    network {
      port "client" {
        static = 4222
      }
      port "cluster" {
        static = 6222
      }
      port "monitor" {
        static = 8222
      }
    }

    service {
      name     = "vtp-nats"
      port     = "client"
      provider = "nomad"

      check {
        type     = "http"
        port     = "monitor"
        path     = "/healthz"
        interval = "10s"
        timeout  = "2s"
      }
    }

    service {
      name     = "vtp-nats-cluster"
      port     = "cluster"
      provider = "nomad"
    }

    task "nats" {
      driver       = "exec"
      kill_timeout = "30s"

      config {
        command = var.nats_server
        args    = ["-c", "local/server.conf"]
      }

      volume_mount {
        volume      = "nats"
        destination = "/var/lib/vtp/nats"
      }

      # Accounts alone: this job has no TLS. Add the block of deploy/nats/tls.conf where the network is not the fleet's own.
      template {
        destination   = "local/server.conf"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        data          = <<EOT
server_name: "{{ env "node.unique.name" }}"
listen: "0.0.0.0:4222"
http: "0.0.0.0:8222"

jetstream {
  store_dir: "/var/lib/vtp/nats"
  sync_interval: always
  max_memory_store: 256MiB
  max_file_store: 20GiB
}

cluster {
  name: vtp
  listen: "0.0.0.0:6222"
  routes = [
{{ range nomadService "vtp-nats-cluster" }}    "nats-route://{{ .Address }}:{{ .Port }}"
{{ end }}  ]
}

max_payload: 1MiB
max_connections: 10000
write_deadline: "10s"
include "../secrets/accounts.conf"
EOT
      }

      template {
        destination   = "secrets/accounts.conf"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        data          = <<EOT
{{ with nomadVar "nomad/jobs/vtp-nats" }}{{ .accounts }}{{ end }}
EOT
      }

      resources {
        cpu    = 1000
        memory = 1024
      }
    }
  }
}
