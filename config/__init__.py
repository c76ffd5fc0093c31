"""How agentflow is run: Celery, worker pools, Flower."""
