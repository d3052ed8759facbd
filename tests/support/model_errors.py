# SPDX-License-Identifier: MIT
"""What the model says of errors that are not stored, and of fetches at once: who may be told one, for how long, and what one
leaves behind.

  who          An error goes to those who waited for its fetch, or asked while it arrived, if they look the same to the origin (all
               that their requests bring of their own is equal); it goes to one client alone where its request bore a credential or
               no-store, or where it says private or no-store, sets a cookie or has Vary: *. Who bears a credential is told his own
               errors only; who bears no-store waits for nobody, but is told what is remembered.
  how long     429 and 5xx serve for failure_memory, from the second in a row on (in a row: it was asked for within twice that time, or before,
               and nothing was stored between); a response that did not come is remembered at once. Of a request with fields of its own that is for requests that
               look the same, until one that looks otherwise met it too; so is 429 always. What failed before it was sent is for all.
  HEAD         A HEAD's error is for HEADs, by the same rule. A HEAD that waited for an error of another form before is told also 5xx of
               yet another. So that of a range that went to the origin is for such, and only its status is remembered, as it is of an
               error told to no-store.
  nothing else A failure_memory after the last error, all who ask at once are one fetch again, whatever the errors were.
  and so much  Who could be told, is: the herds of support/model.py's do_herd, on paths that nothing else disturbs, also see an error
               that reaches only its leader, and one that is not remembered.
"""
from .model_site import COALESCE_S, FAILURE_MEMORY_S, WRITE, clock

CLOCK_S = 0.01  # the proxy counts whole milliseconds


def is_trouble(f):
    """Does it count for errors in a row? One that came, or a response that did not."""
    return f.befalls or (f.is_cut and not f.has_credential)


def concerns(f, how):
    """HEADs fail for HEADs, and ranges that went to the origin for such."""
    return how.get("method") == "HEAD" if f.method == "HEAD" else not f.has_range or "range" in how


def look(f):
    """What the origin saw of it: a range makes another form."""
    return f.form, f.has_range and f.range


class Errors:
    def __init__(self, site):
        self.site = site

    # ---- any response ----

    def met_none(self, f, slack):
        """Were fetches tried just before that the origin never saw? Nobody knows for which requests."""
        return any(x.fetch is None for x in self.site.failures_between(
            f.path, f.at - FAILURE_MEMORY_S - slack, f.ended + slack))

    def is_second(self, f, slack):
        """Had the same key an error just before?"""
        if self.met_none(f, slack):
            return True
        for t in f.resource.fetches:
            if t is not f and is_trouble(t) and t.user == f.user and t.ended <= f.ended + slack and (
                    t.ended >= max(f.at - 2 * FAILURE_MEMORY_S, f.resource.stored_at) - slack):
                return True
        return False

    def befell_another(self, f, slack):
        """... of a request of another form."""
        return self.met_none(f, slack) or any(look(t) != look(f) and t.user == f.user and is_trouble(t) and
                   f.at - 2 * FAILURE_MEMORY_S - slack <= t.ended <= f.ended + slack for t in f.resource.fetches)

    def why_not_remembered(self, f, how, form, a, slack, is_told=True):
        """Why the response of the fetch f (or its lack) may not be given to a request made at `a`; or, not is_told, its status."""
        if a > f.ended + FAILURE_MEMORY_S + slack:
            return f"failed {a - f.ended:.3f} s before"
        if not concerns(f, how):
            return "befell another kind of request"
        if f.shares is not None and (f.shares != "moment" if is_told else not f.befalls):
            return f"{f.status} is for {f.shares}"
        if f.shares and not self.is_second(f, slack):
            return "the first error is not remembered"
        if form == f.form:
            return None
        if f.shares and f.status == 429:
            return "429 is said to one client"
        if any(look(f)) and not self.befell_another(f, slack):
            return f"befell one of the form {f.form}"
        return None

    def why_not_told(self, f, how, form, a, slack):
        """Why an error may not be given to a request made at `a`. (Whether one client's error goes to two, Judge.answer counts.)"""
        if f.shares == "one":
            return None if form == f.form else f"of the form {f.form}"
        if has_credential(form):
            return "who bears a credential is told his own errors only"
        if f.method == "HEAD":
            return self.why_not_told_of_head(f, how, form, a, slack)
        until = f.ended if f.shares == "moment" else f.answered
        if form == f.form and a <= until + slack:
            return None
        return self.why_not_remembered(f, how, form, a, slack)

    def why_not_told_of_head(self, f, how, form, a, slack):
        if how.get("method") != "HEAD":
            return "an error of HEAD is for HEADs"
        if f.shares == "moment" and self.why_not_remembered(f, how, form, a, slack) is None:
            return None
        if a > f.answered + slack:
            return f"said to HEAD {a - f.answered:.3f} s before"
        if form == f.form or (f.status >= 500 and self.met_another(f, form, a, slack)):
            return None
        return f"of the form {f.form}"

    @staticmethod
    def met_another(f, form, a, slack):
        """Had a HEAD made at `a` waited for an error before that one, which was another form's?"""
        return any(t.form not in (form, f.form) and t.user == f.user and not t.is_alone and a <= t.ended + slack and (
                   t.ended <= f.ended + slack) and ((t.status or 0) >= 500 or (t.is_cut and t.form)) for t in f.resource.fetches)

    def is_known(self, path, how, form, user, a, status, slack, is_undone):
        """May the proxy say itself that its upstream failed? is_undone(fetch): not of that."""
        begin = a - FAILURE_MEMORY_S - slack
        for failure in self.site.failures_between(path, begin, clock()):
            f = failure.fetch
            if f == WRITE or (f is not None and is_undone(f)):
                continue
            if f is None:
                return True
            if not concerns(f, how):
                continue
            if f.is_cut and f.form == form:
                return True
            if f.is_cut and f.method == "HEAD" and how.get("method") == "HEAD" and not f.is_alone and a <= f.ended + slack and (
                    not f.form or self.met_another(f, form, a, slack)):
                return True
            if f.is_cut and (f.user == user or not f.form) and not f.has_credential and (
                    not any(look(f)) or self.befell_another(f, slack)):
                return True
        # Of an error that is long only the status is remembered.
        return any(f.befalls and f.user == user and not is_undone(f) and status in (f.status, 502, 503, 504) and
                   self.why_not_remembered(f, how, form, a, slack, is_told=False) is None
                   for f in self.site.resource(path).fetches) and not has_credential(form)

    # ---- herds that nothing disturbs ----

    def why_not_herd(self, r, asked, slack):
        """asked: [(form, how, when, answer)] of all steps, all of the resource r, answered by now."""
        return self._at_once(r.fetches, asked, slack) or self._not_shared(r, asked, slack) or self._not_remembered(r.fetches, slack)

    @staticmethod
    def _at_once(fetches, asked, slack):
        """Two fetches at once that could have been one."""
        for i, late in enumerate(fetches):
            for early in fetches[:i]:
                if early.is_for_one or late.is_for_one or not early.at <= late.at < min(early.answered, early.ended) or (
                        is_silent(early, late.at + CLOCK_S, fetches, asked, slack)):
                    continue
                if not any(scatters(e, late, slack) for e in fetches):
                    return (f"fetches {early.number} and {late.number} at once: "
                            f"asked {early.at:.3f} and {late.at:.3f}, the first answered {early.answered:.3f}")
        return None

    def _not_shared(self, r, asked, slack):
        """A request that waited for an error was sent on without it."""
        for form, how, a, answer in asked:
            number = answer.get("x-fetch")
            f = number and self.site.fetches.get(int(number))
            if not f or is_alone(form, how):
                continue
            for e in r.fetches:
                if e.shares in ("waiters", "moment") and e.form == form and not e.is_for_one and (
                        e.at - 0.1 <= a <= e.answered - slack) and f.at > e.answered + 0.001 and (
                        not is_silent(e, e.answered + slack, r.fetches, asked, slack) and not is_scattered(e, r.fetches, slack)):
                    return (f"fetch {f.number} at {f.at:.3f} for who asked at {a:.3f}, "
                            f"though {e.number} was answered with {e.status} at {e.answered:.3f}")
        return None

    def _not_remembered(self, fetches, slack):
        for i, e in enumerate(fetches):
            if e.shares != "moment" or is_scattered(e, fetches, slack) or not any(
                    t.shares == "moment" and t.method == e.method and not is_scattered(t, fetches, slack) and t.form == e.form and e.ended + slack < t.ended + 2 * FAILURE_MEMORY_S for t in fetches[:i]):
                continue
            if any(not f.is_cut and not f.shares for f in fetches[:i + 1] if f.ended > e.ended - 3 * FAILURE_MEMORY_S):
                continue  # something was stored
            if any(is_trouble(t) and t.form != e.form and t.ended < e.ended + FAILURE_MEMORY_S + slack for t in fetches):
                continue  # it is hard to say for which forms it is remembered then
            for f in fetches[i + 1:]:
                if f.form == e.form and f.method == e.method and not f.is_alone and e.ended + slack < f.at < e.ended + FAILURE_MEMORY_S:
                    return f"fetch {f.number} {f.at - e.ended:.3f} s after the second error in a row, {e.number}"
        return None


def is_silent(e, at, fetches, asked, slack):
    """Need nobody wait for it any more at that time? Its leader counts from when it asked: e may have waited for a connection, or be
    the second attempt, after a kept connection broke. It began after an error that others were told before."""
    asks = [a for form, how, a, answer in asked if form == e.form and a <= e.at <= answer.head_at and not is_alone(form, how)]
    errors = [t.answered - slack for t in fetches if t.shares and not t.is_for_one and t.answered <= e.at]
    return at - max([min(asks, default=e.at), *errors]) >= COALESCE_S


def scatters(e, f, slack):
    """Need those who ask not wait for each other after this error? One that may not be shared says so for a failure_memory, one
    response to a request with fields of its own to those who waited for it and look otherwise."""
    if e.shares == "one":
        return not e.is_for_one and e.answered - slack <= f.at <= e.ended + FAILURE_MEMORY_S + slack
    return e.shares and e.status < 500 and e.form != f.form and e.answered - slack <= f.at <= e.answered + slack


def is_scattered(f, fetches, slack):
    """May it have been for one client alone?"""
    return any(scatters(e, f, slack) for e in fetches if e is not f)


def has_credential(form):
    return any(n == "authorization" or "sid=" in v for n, v in form if n in ("authorization", "cookie"))


def is_alone(form, how):
    return has_credential(form) or how.get("cc") == "no-store"
