"""Values of the engine: runs, steps, outcomes, messages and errors. Standard library only, no I/O."""
