r"""A run whose steps are continued: whoever has recorded one takes the next along, in the same transaction.

    claimed --arms its timer--> ready --calls--> heard --decides, passes its slot on--> decided
       ^                                                                                  |
       |                                            one transaction: fence, version, stop |
       +--recorded, the next step written and claimed-------------------------------------+--no answer--> unsure
    idle <--recorded alone, the slot given back-------------------------------------------+
    idle <--refused by the fence----------------------------------------------------------+

A run that has no step yet is started the same way: decided, its first step written and claimed (starting.py).

A step that nobody continues goes the ordinary way: pending, a message, a claim. Whose tokens the rows carry is written
on the processes: `holds` for the step that they are at, `next` for the one after it. Whenever the run's version moves,
by a request, by a message or by a late result, that is written on those who have decided (`moved`).

What the machine of one step shows is left out here: claims that are not answered, requests that land late,
verifications in their own right, outcomes other than success. A doubt is settled by somebody who can see the truth.
"""
