"""The way to the broker: publishing hints, looking into queues. The one package that knows Celery and kombu."""
