"""`make screenshots`: the page in its main states, from a stack of its own, into docs/screenshots."""
