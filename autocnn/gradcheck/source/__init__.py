"""Where a wrong backward pass goes wrong: the statement, and an edit that puts it right.

The author's functions are rewritten so that every value passes through a tap. In the forward pass
taps give the true cotangent of every value and every use (`adjoints`), in the backward pass they
record what each statement yields (`recording`) and put other values in its place (`repair`).
Candidate edits of the statements that remain are run, and shown only when every leaf agrees at
four points (`search`, `tryout`). The author's objects, modules and files are left as they are.
"""

from autocnn.gradcheck.source.found import Finding, Fix, Place, Step

__all__ = ["Finding", "Fix", "Place", "Step"]
