"""The failure taxonomy: from whatever an attempt met to its kind and to "did it happen?", asked apart.

    an exception ----> mapping ----> exceptions ----> statuses ----> Failed: kind, message, happened,
    of the attempt     the user's    by class name    by HTTP status         status, retry_after_s

What is done about it is none of its business: `policy.response` decides that, from the kind, the class of the effect
and the attempts so far.

| kind             | from                                                                          | did it happen? |
|------------------|-------------------------------------------------------------------------------|----------------|
| transient        | 408, 425, 503, 529; refused connections, unknown hosts, no way to the proxy   | no             |
|                  | 500, 502, 504, any other status above; connections cut before or in an answer | maybe          |
| rate_limited     | 429                                                                           | no             |
| auth             | 401, 403                                                                      | no             |
| quota            | 402; 400, 403 and 429 that say that there is no credit left                   | no             |
| bad_input        | 400, 404, 409, 413, 422, any other 4xx                                        | no             |
| timeout          | no connection in time, none free in the pool                                  | no             |
|                  | no answer in time, the tool's own time is over                                | maybe          |
| malformed        | an answer whose body cannot be decoded or is no JSON                          | maybe          |
| bug              | a URL, a header or a body that no client can send; a certificate that is wrong| no             |
|                  | too many redirects, an answer nobody expected, any other exception            | maybe          |
| context_overflow | said by a model's provider                                                    | no             |
| refused          | said by a model's provider                                                    | no             |
| tool_error       | `ToolError` without a kind of its own                                         | as it says     |

`ToolError` and `ModelError` bring their kind along. Where a `ToolError` does not say whether it happened, its kind and
its status do, by this table: `ToolError("slow down", kind="rate_limited")` did not happen, `ToolError("no")` may have.

Exceptions are matched by package and class name up their bases, so that httpx2, httpx, requests, urllib3, openai and
anthropic need not be installed. Messages are kept to 8,000 characters; a body is looked at only where its client has
read it already.
"""

from agentflow.policy.taxonomy.exceptions import classify_error
from agentflow.policy.taxonomy.mapping import Classifier, classify_with
from agentflow.policy.taxonomy.retry_after import read_retry_after
from agentflow.policy.taxonomy.statuses import classify_status

__all__ = ["Classifier", "classify_error", "classify_status", "classify_with", "read_retry_after"]
