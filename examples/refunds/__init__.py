"""A refund agent over a small shop, and a demo that kills its worker: `python -m examples.refunds.demo`."""
