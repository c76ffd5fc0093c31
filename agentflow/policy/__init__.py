"""Pure decisions: facts in, decision out. Clock and randomness are arguments."""
