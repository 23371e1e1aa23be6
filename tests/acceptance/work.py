"""The smallest saga that asks a service, and the settings that say where that is."""

WORK = """
path: /work
methods: [POST, GET]
steps:
  - name: work
    call: {service: backend, path: /work, body: "${ input }"}
    compensate: none
output: {worked: true}
"""


def with_backend(url: str, **more: object) -> dict[str, object]:
    return {"services": {"backend": {"url": url, **more}}}
