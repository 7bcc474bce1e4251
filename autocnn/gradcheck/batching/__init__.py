"""`check(..., batched=True)`: does a backward pass that is right for one cotangent give the stack
of the single results for a batch of them?"""

__all__: list[str] = []
