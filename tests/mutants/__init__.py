"""The proof of the proof: each guard of the protocol is taken out of a copy of the tree, and the suite must go red."""
