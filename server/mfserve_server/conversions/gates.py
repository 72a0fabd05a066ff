"""What the promotion gates found, as messages."""

from __future__ import annotations

from mfserve.v1 import model_service_pb2 as pb
from mfserve_registry.gates import GateReport, GateResult

# A gate that only a newer trainer knows is sent as unspecified; its message still tells.
_GATES = {name.removeprefix("GATE_"): number for name, number in pb.Gate.items()}


def report_message(report: GateReport) -> pb.GateReport:
    return pb.GateReport(
        alias=report.alias,
        incumbent_version=report.incumbent,
        revision=report.revision,
        results=[_result_message(result) for result in report.results],
    )


def _result_message(result: GateResult) -> pb.GateResult:
    return pb.GateResult(
        gate=_GATES.get(result.gate, pb.GATE_UNSPECIFIED),
        outcome=pb.GateOutcome.Value(f"GATE_OUTCOME_{result.outcome.name}"),
        value=result.value,
        incumbent_value=result.incumbent_value,
        bound=result.bound,
        message=result.message,
    )
