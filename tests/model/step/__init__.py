r"""One step, from its message to its outcome, under all that may happen to those who work on it.

    pending --claim--> running --record--> ok, error
       ^                  |  \--record "maybe"--.
       |                  | lease over, or early where the class allows
       +--run again-------+                      |
       |                  v                      v
       +--did not happen-- verifying --cannot tell--> person --> ok, error, pending
                              '--happened--> ok

A process goes idle -> claimed -> calling -> waiting -> heard -> idle; `unsure` and `unrecorded` are those whose commit
was not answered. Between any two moves it may be killed, or frozen and thawed. Whose token the row carries is written
on the process (`holds`), so that processes can be sorted: those that differ in name only are one state.

Each process is started again when it died. Faults are counted down; leases of processes that are dead or frozen end
for free, others by a fault, as does a heartbeat that is missed though its worker lives.
"""
