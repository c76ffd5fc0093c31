"""The Celery application and its tasks: thin, a task takes ids and calls one function of the engine."""
