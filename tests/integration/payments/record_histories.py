"""Records histories of payments and refunds that ``tests/replay`` replays: small, and invented people only.

``python -m pytest tests/integration/payments/record_histories.py`` writes those that are not there yet, and
leaves the others alone: they are of processes as they once began, which must go on. One is taken away only
with a change of workflow code that is meant to break with running workflows, and never to silence a replay.
"""

import json
from typing import Any

from temporalio.client import WorkflowHandle

from tests.integration.imports.record_histories import HISTORIES, without_machine
from tests.integration.payments.till import Till


async def test_record_a_card(till: Till) -> None:
    payment = await till.paid(await till.debt())
    await save(till.process(payment), "payment-process-card")
    refund = (await till.refund(payment, amount="10.00")).json()["refunds"][0]
    await save(till.refund_process(refund), "refund-process-card")


async def test_record_processes_that_write_to_the_books_at_once(till: Till) -> None:
    await save(till.process(await till.paid(await till.debt())), "payment-process-card-at-once")
    account = await till.debt()
    declined = (await till.pay(account, payment_method="pm_card_chargeDeclinedExpiredCard")).json()
    await save(till.process(declined), "payment-process-declined-at-once")
    debit = {"method": "bank_transfer", "payment_method": "pm_usBankAccount_processing"}
    payment = (await till.pay(await till.debt(), **debit)).json()
    await till.caller.control(f"payment_intents/{payment['processor_ref']}/settle")
    await till.process(payment).signal("provider_spoke")
    await till.ends(payment, "succeeded")
    await save(till.process(payment), "payment-process-debit-at-once")


async def test_record_a_debit_that_is_waited_for(till: Till) -> None:
    debit = {"method": "bank_transfer", "payment_method": "pm_usBankAccount_processing"}
    payment = (await till.pay(await till.debt(), **debit)).json()
    await till.process(payment).signal("provider_spoke")
    await till.caller.control(f"payment_intents/{payment['processor_ref']}/settle")
    await till.process(payment).signal("provider_spoke")
    await till.ends(payment, "succeeded")
    await save(till.process(payment), "payment-process-debit")


async def test_record_a_link_and_cash(till: Till) -> None:
    account = await till.debt()
    link = await till.ask("acme.admin", "POST", f"/accounts/{account['id']}/payment-links", {})
    await save(till.process(link.json(), "link"), "payment-process-link-waiting", ended=False)
    cash = await till.paid(account, method="cash", payment_method=None)
    await save(till.process(cash), "payment-process-cash")
    back = (await till.refund(cash)).json()["refunds"][0]
    await save(till.refund_process(back), "refund-process-cash")


async def test_record_a_decline_and_a_refund_that_is_waited_for(till: Till) -> None:
    account = await till.debt()
    declined = (await till.pay(account, payment_method="pm_card_chargeDeclinedExpiredCard")).json()
    await save(till.process(declined), "payment-process-declined")
    unknown = (await till.pay(account, payment_method="pm_nobodyHasThisOne")).json()
    await save(till.process(unknown), "payment-process-refused")
    payment = await till.paid(account, payment_method="pm_card_pendingRefund")
    refund = (await till.refund(payment)).json()["refunds"][0]
    await till.caller.control(f"refunds/{refund['processor_ref']}/finish", succeeds=True)
    await till.refund_process(refund).signal("provider_spoke")
    await save(till.refund_process(refund), "refund-process-waited-for")


async def save(process: WorkflowHandle[Any, Any], name: str, *, ended: bool = True) -> None:
    if ended:
        await process.result()
    path = HISTORIES / f"{name}.json"
    if not path.exists():
        history = json.loads((await process.fetch_history()).to_json())
        path.write_text(json.dumps(without_machine(history), indent=1) + "\n")
