"""The heart: a saga as a pure fold over its journal. Standard library, jmespath, msgspec and re2 only."""
