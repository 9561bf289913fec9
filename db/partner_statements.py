"""What partners say, staged: the lines of statement files, and the statements that a run closes.

Lines are written once and never changed. Messages are added by ``db.stated_messages``.
"""

import asyncio
import io
import json
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple
from uuid import UUID, uuid4

import polars as pl
from sqlalchemy import Select, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from db.keyset import Position, newest_first
from db.models import Statement, StatementLine
from db.store import Store
from domain.errors import NotFound, Unavailable

Scope = Literal["full", "messages"]

LINE_COLUMNS = (
    "line",
    "account_ref",
    "debtor_ref",
    "balance",
    "status",
    "currency",
    "processed_at",
    "payment_ref",
    "amount",
    "paid_on",
    "payer",
    "problem",
)
"""Columns of a frame of lines, in the order in which they are copied."""


class OpenedStatement(NamedTuple):
    """The statement of a file content, and whether this call made it."""

    statement: Statement
    created: bool


class Closing(NamedTuple):
    """The statements that a run compares; ``lines`` are all of theirs, ``problems`` the unreadable ones."""

    statement_ids: list[UUID]
    lines: int
    problems: int


class StatementStore(Store):
    """The statements of one agency's partners."""

    async def open_file(
        self,
        partner_id: UUID,
        *,
        name: str,
        location: str,
        sha256: str,
        size: int,
        mtime: int,
        profile: str,
    ) -> OpenedStatement:
        """The statement of a file content: the same bytes of a partner are the same statement. Where they
        do not say of which time they are, those of a later ``mtime`` are another one.

        One that was refused does not count when it lies elsewhere by now or ``profile`` (a digest of the
        layout that it is read by) is another one: it is then judged anew. ``size`` in bytes, ``mtime`` in
        seconds since the epoch.
        """
        values = {"partner_id": partner_id, "sha256": sha256}
        where = (Statement.partner_id == partner_id, Statement.sha256 == sha256)
        refused = await self._session.scalar(
            self._files()
            .where(*where, Statement.state == "refused", Statement.location == location)
            .where(Statement.put_away_at.is_(None), Statement.cursor["profile"].astext == profile)
            .order_by(Statement.id.desc())
            .limit(1)
        )
        if refused is not None:
            return OpenedStatement(refused, created=False)
        content: dict[str, Any] = {
            "name": name,
            "location": location,
            "file_bytes": size,
            "file_mtime": mtime,
        }
        content |= {"cursor": {"profile": profile}, **values}
        created = await self._create(content)
        if created is not None:
            return OpenedStatement(created, created=True)
        found = await self._session.scalar(
            self._files()
            .where(*where, Statement.state != "refused")
            .order_by(Statement.file_mtime.desc())
            .limit(1)
        )
        if found is not None and _is_of_earlier(found, mtime):
            created = await self._create(content | {"as_of": mtime})
            if created is not None:
                return OpenedStatement(created, created=True)
        if found is None or _is_of_earlier(found, mtime):
            raise Unavailable("the same file was seen to while it was looked at; it is taken up again")
        if found.state == "open":
            # The same content as somebody began to read: what lies here now is what is read to its end.
            found.name, found.location, found.file_mtime = name, location, mtime
        return OpenedStatement(found, created=False)

    async def _create(self, content: dict[str, Any]) -> Statement | None:
        created = await self._session.scalar(
            insert(Statement)
            .values(agency_id=self._agency_id, channel="file", **content)
            .on_conflict_do_nothing(
                index_elements=["partner_id", "sha256", "as_of"],
                index_where=text("channel = 'file' AND state <> 'refused'"),
            )
            .returning(Statement)
        )
        if created is not None:
            await self._forget_refused_at(created)
        return created

    async def _forget_refused_at(self, statement: Statement) -> None:
        """What lies at this place now is another file: nothing of earlier ones is there to be put away."""
        await self._session.execute(
            update(Statement)
            .where(
                Statement.agency_id == self._agency_id,
                Statement.partner_id == statement.partner_id,
                Statement.location == statement.location,
                Statement.state == "refused",
                Statement.put_away_at.is_(None),
            )
            .values(put_away_at=func.now())
        )

    async def take_over(self, statement_id: UUID) -> tuple[UUID, dict[str, Any] | None]:
        """Become the one that stages a file: whoever did so before can commit nothing more.

        Returns the holder that ``append_lines`` asks for, and the position where reading goes on; None
        means from the start.
        """
        holder = uuid4()
        values = {"agency": self._agency_id, "id": statement_id, "holder": str(holder)}
        row = (await self._session.execute(_TAKE_OVER, values)).one_or_none()
        if row is None:
            raise NotFound("there is no such statement that is still being read")
        return holder, row.position

    async def append_lines(
        self, statement_id: UUID, holder: UUID, lines: pl.DataFrame, position: dict[str, Any]
    ) -> None:
        """Add the next lines of a file and the ``position`` behind them, in the caller's transaction.

        ``lines`` has the columns ``LINE_COLUMNS``, those that the file does not carry may lack; ``problem``
        is null for lines that could be read. ``Unavailable`` when somebody else stages the file by now:
        what this transaction has added must not stand.
        """
        values = {
            "agency": self._agency_id,
            "id": statement_id,
            "holder": str(holder),
            "position": json.dumps(position),
            "lines": len(lines),
            **_summary(lines),
        }
        if await self._session.scalar(_ADVANCE, values) is None:
            raise Unavailable("the statement is no longer ours to read; it goes on from what is there")
        if lines.is_empty():
            return
        columns = [name for name in LINE_COLUMNS if name in lines.columns]
        payload = await asyncio.to_thread(_encode, lines.select(columns))
        driver = await self._driver()
        listed = ", ".join(columns)
        async with driver.cursor() as cursor:
            await cursor.execute(_COPIED)
            async with cursor.copy(f"COPY copied_line ({listed}) FROM STDIN (FORMAT csv)".encode()) as sink:
                await sink.write(payload)
            await cursor.execute(_INSERT_COPIED, {"agency": self._agency_id, "statement": statement_id})
            await cursor.execute(b"DROP TABLE copied_line")

    async def finish(self, statement_id: UUID, holder: UUID, *, undated: bool = False) -> Statement:
        """The file was read to its end and is a statement: ``staged`` until a run closes it.

        ``undated``: it does not say of which time it is, so that its own time counts.
        """
        values = {"agency": self._agency_id, "id": statement_id, "holder": str(holder), "undated": undated}
        if await self._session.scalar(_FINISH, values) is None:
            raise Unavailable("the statement is no longer ours to read; it goes on from what is there")
        return await self.get(statement_id)

    async def refuse(self, statement_id: UUID, reason: str) -> Statement:
        """The file is no statement, for ``reason``; of its lines only the unreadable ones are kept."""
        refused = await self._session.scalar(
            update(Statement)
            .where(
                Statement.agency_id == self._agency_id,
                Statement.id == statement_id,
                Statement.state.in_(["open", "staged"]),
            )
            .values(state="refused", reason=reason, closed_at=func.now())
            .returning(Statement.id)
        )
        if refused is not None:
            await self._session.execute(
                delete(StatementLine).where(
                    StatementLine.statement_id == statement_id, StatementLine.problem.is_(None)
                )
            )
        return await self.get(statement_id)

    async def discard(self, statement_id: UUID) -> None:
        """Forget a file that changed while it was read, with all its lines."""
        gone = await self._session.scalar(
            delete(Statement)
            .where(
                Statement.agency_id == self._agency_id,
                Statement.id == statement_id,
                Statement.state == "open",
            )
            .returning(Statement.id)
        )
        if gone is not None:
            await self._session.execute(delete(StatementLine).where(StatementLine.statement_id == gone))

    async def close_for(self, run_id: UUID, scope: Scope, *, dry_run: bool = False) -> Closing:
        """Give a run of its partner all that was staged: messages, and in scope ``full`` the files too.

        A repetition gives what the first call gave, and nothing that came later. A ``dry_run`` is told what
        it would be given, and closes nothing.
        """
        values = {"agency": self._agency_id, "run": run_id, "files": scope == "full"}
        found = (await self._session.execute(_CLOSED, values)).all()
        if not found:
            statement = _WAITING if dry_run else _CLOSE
            found = (await self._session.execute(statement, values)).all()
        return Closing(
            sorted(row.id for row in found),
            sum(row.lines for row in found),
            sum(row.problems for row in found),
        )

    async def reopen(self, run_id: UUID) -> None:
        """A run that could not be finished gives its statements back to the next one."""
        await self._session.execute(
            update(Statement)
            .where(Statement.agency_id == self._agency_id, Statement.run_id == run_id)
            .values(state="staged", run_id=None, closed_at=None)
        )

    async def get(self, statement_id: UUID) -> Statement:
        """One statement. ``NotFound``."""
        found = await self._session.scalar(
            self._statements().where(Statement.id == statement_id).execution_options(populate_existing=True)
        )
        if found is None:
            raise NotFound("there is no such statement")
        return found

    async def page(
        self, partner_id: UUID, position: Position | None, limit: int, *, states: Sequence[str] = ()
    ) -> Sequence[Statement]:
        """Statements of a partner, newest first, keyed by ``(id,)``."""
        query = self._statements().where(Statement.partner_id == partner_id)
        if states:
            query = query.where(Statement.state.in_(states))
        return (await self._session.scalars(newest_first(query, (Statement.id,), position, limit))).all()

    async def problems(
        self, statement_id: UUID, position: Position | None, limit: int
    ) -> Sequence[StatementLine]:
        """Lines that could not be read, from the first on, keyed by ``(line,)``; nearest first."""
        line = StatementLine.line
        query = select(StatementLine).where(
            StatementLine.statement_id == statement_id, StatementLine.problem.is_not(None)
        )
        backward = position is not None and position.backward
        if position is not None:
            query = query.where(line < position.key[0] if backward else line > position.key[0])
        ordered = query.order_by(line.desc() if backward else line.asc())
        return (await self._session.scalars(ordered.limit(limit))).all()

    async def to_put_away(self, partner_id: UUID) -> Sequence[Statement]:
        """Files that are done with, closed or refused, and still lie in the partner's folder."""
        query = self._files().where(
            Statement.partner_id == partner_id,
            Statement.state.in_(["closed", "refused"]),
            Statement.put_away_at.is_(None),
        )
        return (await self._session.scalars(query.order_by(Statement.id))).all()

    async def put_away(self, statement_id: UUID) -> None:
        """The statement's file has left the partner's folder."""
        await self._session.execute(
            update(Statement)
            .where(Statement.agency_id == self._agency_id, Statement.id == statement_id)
            .values(put_away_at=func.now())
        )

    def _statements(self) -> "Select[Statement]":
        return select(Statement).where(Statement.agency_id == self._agency_id)

    def _files(self) -> "Select[Statement]":
        return self._statements().where(Statement.channel == "file")


def _is_of_earlier(statement: Statement, mtime: int) -> bool:
    """Whether the same bytes at ``mtime`` say something new: that it is so still, or again."""
    undated = statement.state != "open" and statement.cursor.get("undated", False)
    return bool(undated) and (statement.file_mtime or 0) < mtime


def _summary(lines: pl.DataFrame) -> dict[str, Any]:
    """How many lines could not be read, and the time that the others span."""
    problems = lines["problem"].count() if "problem" in lines.columns else 0
    readable = lines.filter(pl.col("problem").is_null()) if problems else lines
    column = "processed_at" if "processed_at" in lines.columns else "paid_on"
    times = readable[column] if column in lines.columns else pl.Series(dtype=pl.Date)
    return {"problems": problems, "oldest": times.min(), "newest": times.max()}


def _encode(lines: pl.DataFrame) -> memoryview:
    buffer = io.BytesIO()
    lines.write_csv(buffer, include_header=False, datetime_format="%Y-%m-%dT%H:%M:%S%.6f%z")
    return buffer.getbuffer()


_TAKE_OVER = text("""
    UPDATE statement SET cursor = cursor || jsonb_build_object('holder', CAST(:holder AS text))
     WHERE agency_id = :agency AND id = :id AND channel = 'file' AND state = 'open'
    RETURNING cursor -> 'position' AS position
""")
_ADVANCE = text("""
    UPDATE statement
       SET cursor = cursor || jsonb_build_object('position', CAST(:position AS jsonb)),
           lines = lines + :lines, problems = problems + :problems,
           oldest_at = LEAST(oldest_at, CAST(:oldest AS timestamptz)),
           newest_at = GREATEST(newest_at, CAST(:newest AS timestamptz))
     WHERE agency_id = :agency AND id = :id AND state = 'open' AND cursor ->> 'holder' = :holder
    RETURNING id
""")
_FINISH = text("""
    UPDATE statement
       SET state = 'staged',
           cursor = (cursor - 'position' - 'holder')
                    || jsonb_build_object('undated', CAST(:undated AS boolean))
     WHERE agency_id = :agency AND id = :id AND state = 'open' AND cursor ->> 'holder' = :holder
    RETURNING id
""")
_COPIED = b"""
    CREATE TEMPORARY TABLE copied_line (
        line integer, account_ref text, debtor_ref text, balance numeric(14, 2), status text, currency text,
        processed_at timestamptz, payment_ref text, amount numeric(14, 2), paid_on date, payer text,
        problem text) ON COMMIT DROP
"""
_INSERT_COPIED = b"""
    INSERT INTO statement_line (statement_id, line, agency_id, account_ref, debtor_ref, balance, status,
                                currency, processed_at, payment_ref, amount, paid_on, payer, problem)
    SELECT %(statement)s, line, %(agency)s, account_ref, debtor_ref, balance, status, currency, processed_at,
           payment_ref, amount, paid_on, payer, problem
      FROM copied_line
"""
_CLOSED = text("""
    SELECT id, lines, problems FROM statement WHERE agency_id = :agency AND run_id = :run
""")
_WAITING_WHERE = """
     WHERE s.agency_id = :agency AND r.agency_id = :agency AND r.id = :run AND s.partner_id = r.partner_id
       AND (s.state = 'staged' OR (s.state = 'open' AND s.channel = 'messages'))
       AND (:files OR s.channel = 'messages')
"""
_WAITING = text(
    f"SELECT s.id, s.lines, s.problems FROM statement s, partner_reconciliation r {_WAITING_WHERE}"
)
_CLOSE = text(f"""
    UPDATE statement s SET state = 'closed', run_id = r.id, closed_at = clock_timestamp()
      FROM partner_reconciliation r {_WAITING_WHERE}
    RETURNING s.id, s.lines, s.problems
""")
