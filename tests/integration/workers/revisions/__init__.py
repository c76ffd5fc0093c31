"""The revisions of three releases to come, on agentflow's own: a column, another in its place, the first one gone."""
