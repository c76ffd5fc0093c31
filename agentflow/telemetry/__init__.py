"""What an operator sees of agentflow: logs, and what follows in metrics, traces and alerts."""
