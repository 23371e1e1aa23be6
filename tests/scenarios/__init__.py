"""Scenarios: sagas, a world, and what must come of it; one sentence of the language each.

A file holds YAML documents of this form:

- `name`, unique; `rule`: the sentence of the language that it holds the engine to.
- `definition`: a saga, or a list of them; the first one is triggered. `id` and `path` may be absent there.
- `input` (`{}`), `settings` (`vars`, `retries`, `rawUrls`), `missing`: services that nobody offers.
- `world`: scripts by `METHOD service/path`, see tests/support/world.py.
- `at`: `{time: seconds, signal: name, body, subject, roles, id}` , `{time, cancel: reason}`, or
  `{time, retry | skip | resolve | resume: its body}`, in their order.
- `expect`: `status`, and as far as said `output`, `error` (`kind status step`), `reason`, `leftovers` (`path outcome`),
  `undoErrors` (`path kind`), `requests` (keys in the order of their first request, `x2` where sent twice), `effects`
  (keys, sorted), `bodies` and `headers` (by key, as far as said), `whats` (by key: verb, service, target), `journal`
  (letters), `answers` (to signals and cancels), `reply` (HTTP status), `others` (status by saga id), `told` (output by
  saga id), `labels`, `took` (virtual seconds, at most), `busiest` (calls at once, at most).
- `killed`: what else may be true where the runner was killed, for rules by which a crash makes a difference: `status`
  and `error` as lists; `any: sentence` lets every end pass and says why.
"""
