"""Carrying messages out of the outbox: e-mail by SMTP, webhooks by HTTP."""
