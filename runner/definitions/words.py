"""Words that authors bring along from elsewhere, and what they are called here.

The names are those of the form that the product's users know, and of the other workflow languages.
"""

from collections.abc import Iterable
from typing import Final

#: Folded (letters and digits, lower case) -> where it stands here.
_ELSEWHERE: Final[dict[str, str]] = {
    "allowedonstreams": "streams",
    "allowedstreams": "streams",
    "allowedforrunners": "runners",
    "allowedrunners": "runners",
    "allowedroles": "roles",
    "allowedmethods": "methods",
    "url": "path",
    "usecache": "cache.enabled",
    "cachestate": "cache.state",
    "cachekeypattern": "cache.key",
    "cachekey": "cache.key",
    "resilience": "circuitBreaker",
    "minnumberofcalls": "circuitBreaker.minimumNumberOfCalls",
    "minimumnumberofcalls": "circuitBreaker.minimumNumberOfCalls",
    "slidingwindowthreshold": "circuitBreaker.slidingWindowSize",
    "slidingwindowsize": "circuitBreaker.slidingWindowSize",
    "noreplytimeoutduration": "circuitBreaker.noReplyTimeoutDuration",
    "failureratethreshold": "circuitBreaker.failureRateThreshold",
    "slowcalldurationthreshold": "circuitBreaker.slowCallDurationThreshold",
    "slowcallratethreshold": "circuitBreaker.slowCallRateThreshold",
    "waitdurationinopenstate": "circuitBreaker.waitDurationInOpenState",
    "callspermittedinhalfopen": "circuitBreaker.permittedNumberOfCallsInHalfOpenState",
    "permittednumberofcallsinhalfopenstate": "circuitBreaker.permittedNumberOfCallsInHalfOpenState",
    "schedule": "timer",
    "period": "timer.period",
    "periodunit": "timer.unit",
    "unit": "timer.unit",
    "initialdelay": "timer.initialDelay",
    "initialdelayms": "timer.initialDelay",
    "maxrepeat": "timer.maxRepeat",
    "maxrepeatcount": "timer.maxRepeat",
    "cron": "timer.cron",
    "cronexpression": "timer.cron",
    "crontimezone": "timer.timeZone",
    "timezone": "timer.timeZone",
    "methodindocumentation": "schema.method",
    "excludeindocumentation": "schema.exclude",
    "mockoutput": "schema.mock",
    "mock": "schema.mock",
    "validated": "schema.validated",
    "inputschema": "schema.input",
    "outputschema": "schema.output",
    "input": "schema.input",
    "http": "call",
    "service": "call.service",
    "request": "call",
    "publish": "emit",
    "send": "emit",
    "assign": "set",
    "transform": "set",
    "choice": "switch",
    "parallel": "fork",
    "branches": "fork.branches",
    "foreach": "for",
    "map": "for",
    "loop": "for",
    "each": "for.each",
    "sleep": "wait",
    "delay": "wait",
    "signal": "listen.signal",
    "subsaga": "run",
    "saga": "run.saga",
    "throw": "raise",
    "fail": "raise",
    "error": "raise",
    "if": "when",
    "condition": "when",
    "undo": "compensate",
    "rollback": "compensate",
    "compensation": "compensate",
    "oncompensate": "compensate",
    "onerror": "catch",
    "except": "catch",
    "retries": "retry",
    "retrypolicy": "retry",
    "maxattempts": "attempts",
    "maxretries": "attempts",
    "interval": "delay",
    "else": "otherwise",
    "default": "otherwise",
    "data": "body",
    "payload": "body",
    "params": "query",
    "topic": "stream",
    "uri": "path",
    "endpoint": "path",
    "items": "in",
    "concurrency": "parallel",
    "kinds": "errors",
    "code": "type",
    "message": "detail",
}


def elsewhere(word: str, known: Iterable[str]) -> str:
    """The hint for a word that has another name, or another place, among the `known` keys; or nothing."""
    names = set(known)
    folded = "".join(sign for sign in word.lower() if sign.isalnum())
    if any(folded == "".join(s for s in name.lower() if s.isalnum()) for name in names):
        return ""
    here = _ELSEWHERE.get(folded, "")
    block, _, key = here.partition(".")
    if block not in names:
        return ""
    return f"write it as `{key}` under `{block}`" if key else f"did you mean `{here}`?"
