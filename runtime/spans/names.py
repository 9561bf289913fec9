"""The attributes that spans may carry: names of operations and ids, never values that people gave.

Names are those of OpenTelemetry's semantic conventions where it has one, and the SDK's for workflows.
"""

DATABASE = "db.system.name"
STATEMENT = "db.query.text"
SQLSTATE = "db.response.status_code"
PIPELINED = "recoup.pipelined"
ERROR = "error.type"

TELLABLE = frozenset(
    {
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "url.scheme",
        DATABASE,
        STATEMENT,
        SQLSTATE,
        PIPELINED,
        ERROR,
        "temporalWorkflowID",
        "temporalRunID",
        "temporalActivityID",
        "temporalActivityType",
        "temporalUpdateID",
    }
)

TELLABLE_OF_EVENTS = frozenset({"exception.type", "exception.escaped"})
"""An exception's message may quote a row, and its trace the line that a value stands in."""
