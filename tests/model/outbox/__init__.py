"""A batch of messages in a relay's hands, of a kind that nothing can be asked about.

    pending --claimed in a batch--> claimed --committed for itself alone--> sending --handed over, recorded--> sent
    its relay is lost:  claimed --> pending;  sending --> in doubt --a person looks--> sent, pending

A relay is `idle`, has a `batch`, is `sending` (committed, not handed over), or has `handed` one over.
"""
