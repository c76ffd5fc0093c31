"""The outside world: a shop with orders and refunds, a process of its own that has never heard of agentflow.

    GET  /orders/4417              200 the order | 404 no such order
    GET  /orders/4417/policy       200 how much can be refunded | 404
    POST /refunds                  {"order_id": "4417", "amount_cents": 4990}, Idempotency-Key: any text
                                   201 refunded | 200 the refund that this key made before
                                   400 no key or no such request | 404
                                   422 too much, not paid by card, or the key stands for something else
    POST /wires                    {"order_id": "4471", "amount_cents": 24900, "reference": any text}
                                   201 the money left, each time this is asked for
                                   400 | 404 | 422 too much, or paid by card
    GET  /wires/any-text           200 what was wired under this reference | 404 nothing was
    POST /orders                   {"item": "sofa", "price_cents": 119900}, Idempotency-Key
                                   201 a new order | 200 the one that this key made before | 400
    POST /orders/5001/charge       {"card": "tok_..."}, Idempotency-Key: 201 charged | 402 declined | 400 | 404
    POST /orders/5001/cancellation Idempotency-Key: 201 cancelled | 200 it was before | 400 | 404

Any refund or lookup may be turned away for a while: 429 with Retry-After, 503.

It refunds once per key and as often as there are keys: two keys for one order are two payments. Its bank knows no keys
at all: a wire that is asked for twice leaves twice. Whoever calls it has to see to it that there are not. Each request
and each payment is in its log before it is answered.
"""
