"""An airline to test against: its tools, its rows in Postgres, 200 recorded conversations, the comparison with them."""
