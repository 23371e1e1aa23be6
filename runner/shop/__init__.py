"""The demo shop: three real HTTP services that a saga can order from, and that keep what they did.

`runner.shop.serve.Shop` serves them. Nothing is imported here, so that naming the package costs nothing.
"""
