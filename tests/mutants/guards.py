"""The guards of the protocol: what each keeps from happening, how it is taken out, and who has to notice."""

from __future__ import annotations

from dataclasses import dataclass

from tests.mutants.patch import Patch, patches_of

# Not the number of points, which any change on the way changes.
CRASH_POINTS = "tests/crashpoints/test_crashpoints.py -k test_whoever"
MACHINE = "tests/stateful/test_machine.py"
CHAOS = "tests/chaos/test_chaos.py"


@dataclass(frozen=True, slots=True)
class Guard:
    """A guard, `patches` that switch it off, and the tests of which one must fail then, the proof before the rest."""

    name: str
    off: str
    patches: tuple[Patch, ...]
    tests: tuple[str, ...]


def _integration(*names: str) -> tuple[str, ...]:
    return tuple(f"tests/integration/test_{name}.py" for name in names)


GUARDS = (
    Guard(
        "fence",
        "a record is written whatever attempt it belongs to",
        (
            *patches_of(
                "agentflow/engine/recording.py",
                (
                    "locked is None or (locked.step.claim_token, locked.step.attempt) != (claim.token, claim.attempt):",
                    "locked is None:",
                ),
            ),
            *patches_of(
                "agentflow/store/sql/claim.sql",
                ("            and s.attempt = %(attempt)s and s.claim_token = %(claim_token)s\n", ""),
            ),
        ),
        (MACHINE, CRASH_POINTS, *_integration("engine_fence")),
    ),
    Guard(
        "claim token",
        "a claim is known again by its status, and recorded by its attempt alone",
        (
            *patches_of(
                "agentflow/engine/recording.py",
                (
                    "(locked.step.claim_token, locked.step.attempt) != (claim.token, claim.attempt)",
                    "locked.step.attempt != claim.attempt",
                ),
            ),
            *patches_of(
                "agentflow/store/sql/claim.sql",
                ("and s.attempt = %(attempt)s and s.claim_token = %(claim_token)s\n", "and s.attempt = %(attempt)s\n"),
            ),
            *patches_of(
                "agentflow/engine/claiming.py",
                (
                    "return step.claim_token == token and step.status is StepStatus.RUNNING",
                    "return step.status is StepStatus.RUNNING",
                ),
            ),
        ),
        (MACHINE, CRASH_POINTS, *_integration("engine_fence")),
    ),
    Guard(
        "idempotency record",
        "whoever holds a business key, the call is made",
        patches_of(
            "agentflow/policy/claim.py",
            (
                "if record is None or (record.run_id, record.step_index) == (step.run_id, step.step_index):",
                "if True:",
            ),
        ),
        (MACHINE, CRASH_POINTS, *_integration("engine_keys")),
    ),
    Guard(
        "dead man's timer",
        "a process that was frozen past its lease goes on when it thaws",
        patches_of(
            "agentflow/engine/deadman.py",
            ("            self._timer.set(at)\n", "            pass\n"),
        ),
        (CRASH_POINTS, "tests/integration/workers/test_deaths.py"),
    ),
    Guard(
        "settle_s",
        "a verification asks at once, and believes what it does not find",
        patches_of(
            "agentflow/engine/planning.py",
            ("settle_s = SETTLE_S if tool.settle_s is None else tool.settle_s", "settle_s = 0.0"),
        ),
        (CRASH_POINTS, *_integration("engine_verifying"), CHAOS),
    ),
    Guard(
        "the run's own lock",
        "a run is read, and not locked, before its steps are",
        patches_of(
            "agentflow/store/sql/claim.sql",
            ("where r.run_id = %(run_id)s\nfor update of r\n", "where r.run_id = %(run_id)s\n"),
            (
                "select from {schema}.agent_runs where run_id = %(run_id)s for update",
                "select from {schema}.agent_runs where run_id = %(run_id)s",
            ),
            ("        for update of r, s\n", "        for update of s\n"),
        ),
        (CRASH_POINTS, MACHINE, *_integration("engine_siblings")),
    ),
    Guard(
        "sweeper",
        "nobody looks for what nobody moves",
        patches_of(
            "agentflow/engine/sweeper.py",
            (
                "            return False\n        self._sweeps += 1\n",
                "            return False\n        return True\n        self._sweeps += 1\n",
            ),
        ),
        (CRASH_POINTS, MACHINE, *_integration("engine_sweeper")),
    ),
    Guard(
        "outbox's sending",
        "a message is handed over without a word of it before",
        patches_of(
            "agentflow/store/sql/outbox.sql",
            ("set status = 'sending', attempt = %(attempt)s,", "set status = 'claimed', attempt = %(attempt)s,"),
            (
                "            and attempt = %(attempt)s and status = 'sending'\n    ) as is_sending",
                "            and attempt = %(attempt)s and status = 'claimed'\n    ) as is_sending",
            ),
            (
                "attempt = %(sent_attempt)s and status = any(%(before_sent)s::text[])",
                "attempt = %(sent_attempt)s and status = 'claimed'",
            ),
            (
                "and attempt = %(attempt)s and status = any(%(before)s::text[])",
                "and attempt = %(attempt)s and status = 'claimed'",
            ),
        ),
        (CRASH_POINTS, *_integration("outbox_recovery")),
    ),
    Guard(
        "budget reservation",
        "a model call is made without room set aside for it",
        patches_of(
            "agentflow/engine/preparing.py",
            ("return call.reserved if call else Reserved()", "return Reserved()"),
        ),
        (MACHINE, *_integration("engine_reservations")),
    ),
    Guard(
        "approval binding",
        "an approval holds for whatever the call has become",
        patches_of("agentflow/policy/approval.py", ("if approval.args_hash != step.args_hash:", "if False:")),
        (MACHINE, *_integration("approvals")),
    ),
    Guard(
        "idle-in-transaction timeout",
        "a frozen process keeps its locks for as long as it is frozen",
        patches_of(
            "agentflow/store/database.py",
            ('    "idle_in_transaction_session_timeout": "15s",\n', ""),
        ),
        (CRASH_POINTS, CHAOS),
    ),
    Guard(
        "intent before the call",
        "a call that is repeated is not known to have been begun",
        patches_of(
            "agentflow/policy/recovery.py",
            ("    if effect is Effect.UNSAFE:\n        return PutInDoubt()\n", ""),
        ),
        (CRASH_POINTS, MACHINE, "tests/unit/test_policy_recovery.py"),
    ),
    Guard(
        "leases by class",
        "an unsafe or verified step is taken back on a missing heartbeat",
        patches_of(
            "agentflow/policy/recovery.py",
            (
                "Effect.VERIFIED: frozenset({Evidence.LEASE_OVER, Evidence.OVERRUN}),",
                "Effect.VERIFIED: frozenset(Evidence),",
            ),
            (
                "Effect.UNSAFE: frozenset({Evidence.LEASE_OVER, Evidence.OVERRUN}),",
                "Effect.UNSAFE: frozenset(Evidence),",
            ),
        ),
        (CRASH_POINTS, "tests/unit/test_policy_recovery.py"),
    ),
    Guard(
        "requests before claims",
        "a step is claimed whether or not its run was asked to stop or to pause",
        patches_of(
            "agentflow/policy/claim.py",
            ("    if run.pause_requested:\n", "    if False:\n"),
            ("if run.stop_requested or run.ending is not None:", "if run.ending is not None:"),
        ),
        (*_integration("engine_claim"), MACHINE),
    ),
    Guard(
        "a continuation's version",
        "what was decided is written whatever has become of the run since",
        patches_of(
            "agentflow/engine/record.py",
            ("plan is None or plan.version != run.version or", "plan is None or"),
        ),
        (*_integration("engine_siblings", "engine_continuing"), MACHINE),
    ),
    Guard(
        "a record's expectation",
        "a record that takes its run for unchanged is written whatever has become of the run",
        patches_of("agentflow/store/sql/claim.sql", ("select 1 / (\n", "select (\n")),
        (*_integration("engine_expecting", "engine_continuing"), MACHINE),
    ),
    Guard(
        "a continuation's timers",
        "only the first step of a task has a dead man's timer",
        patches_of(
            "agentflow/engine/executor.py",
            (
                "_work(runtime, following.claimed, visit, chain)",
                "_call_and_follow(runtime, following.claimed, visit, chain)",
            ),
        ),
        (CRASH_POINTS, *_integration("engine_continuing")),
    ),
    Guard(
        "a continuation's deadlines",
        "a timer counts from when a claim is known, not from before it was sent",
        patches_of(
            "agentflow/engine/executor.py",
            ("import TIMER_MARGIN_S\n", "import boottime\n"),
            (
                "arm(claimed.local_deadline - TIMER_MARGIN_S)",
                "arm(boottime() + (claimed.claim.lease_until - claimed.claim.claimed_at).total_seconds() - 0.5)",
            ),
        ),
        _integration("engine_continuing_deadlines"),
    ),
    Guard(
        "a continuation's slots",
        "who may not go on keeps the next step's slot",
        patches_of("agentflow/engine/executor.py", ("        attempt.give_back()\n", "        pass\n")),
        _integration("engine_continuing"),
    ),
    Guard(
        "no continuation while draining",
        "a worker that was told to end goes on to the next step",
        patches_of("agentflow/engine/continuing.py", (" or runtime.is_draining():", ":")),
        _integration("engine_continuing"),
    ),
)
