"""The gradient checker beside the gradient checkers of other libraries."""
