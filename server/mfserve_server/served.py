"""Which version gave a response."""

from __future__ import annotations

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass


class ServedVersions:
    """Reads it out of the responses of one method."""

    def __init__(self, method: MethodDescriptor) -> None:
        self._response_class = GetMessageClass(method.output_type)
        self._is_told = "served_version" in method.output_type.fields_by_name

    def of(self, response: bytes | None) -> dict[str, str | int]:
        """``model`` and ``version``; empty where they are not told, or there is no response."""
        if not self._is_told or response is None:
            return {}
        served = self._response_class.FromString(response).served_version  # type: ignore[attr-defined] # it is there
        return {"model": served.model, "version": served.version}
