"""Chaos: `python -m tests.chaos --seed N --duration S [--folder F]` loads a real stack, breaks, heals and judges it.

      load, airline, operator          monkey                     world: tools, models, mail, hooks
        |  through the doors             |  kills, freezes, cuts       ^
        v                                v                             |
      doors (proxy) <----------------- workers, relay, beat -----------+
        |
        v
      Postgres, Valkey                 checker: reads both sides once the world has healed

The seed decides what is submitted and what is broken when; how the two meet is up to the machine. Whatever is started
ends with the run, and the folder with all evidence is kept where something is wrong.
"""
