"""Celery's settings. Each stands against a fact about Celery on Redis; `docs/architecture.md` names them."""

from __future__ import annotations

from agentflow.broker.options import TRANSPORT_OPTIONS
from agentflow.settings import settings

# A message is a hint: recovery comes from leases in Postgres, so a message is gone once a worker has it.
task_acks_late = False
task_reject_on_worker_lost = False
task_ignore_result = True
result_backend = None
# Without it, beat sends a daily task that cleans up results, into a queue that nobody serves.
result_expires = None
task_publish_retry = False
worker_disable_prefetch = True
worker_prefetch_multiplier = 1
worker_cancel_long_running_tasks_on_connection_loss = False

task_serializer = "json"
accept_content = ["json"]
enable_utc = True

# The worker waits for the broker as long as it takes; Celery's own limit of 100 tries would end it.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
broker_transport_options = TRANSPORT_OPTIONS
broker_heartbeat = 0
# A Redis without memory refuses what a worker writes when it takes a message; that passes, and must not end it.
broker_channel_error_retry = True

# What runs may finish for this long, after SIGQUIT as after SIGTERM (`tasks.leaving`); the rest is taken back.
worker_soft_shutdown_timeout = settings().drain_s
worker_hijack_root_logger = False
worker_redirect_stdouts = False
worker_send_task_events = True
task_send_sent_event = False
worker_proc_alive_timeout = 30.0
