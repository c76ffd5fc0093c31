"""The outside world: a shop with orders and refunds, a process of its own that has never heard of agentflow.

    GET  /orders/4417           200 the order | 404 no such order
    GET  /orders/4417/policy    200 how much can be refunded | 404
    POST /refunds               {"order_id": "4417", "amount_cents": 4990}, Idempotency-Key: any text
                                201 refunded | 200 the refund that this key made before
                                400 no key or no such request | 404 | 422 too much, or the key stands for something else

Any of them may be turned away for a while: 429 with Retry-After, 503.

It pays once per key and as often as there are keys: two keys for one order are two payments. Whoever calls it has to
see to it that there are not. Each request and each payment is in its log before it is answered.
"""
