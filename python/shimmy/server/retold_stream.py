"""An answer that another request tells from its beginning, without what its reader has."""

from __future__ import annotations

from shimmy.engine_client import OutputStream
from shimmy.errors import DecodeError
from shimmy.models.continuation import Answer, DivergedError, Retelling
from shimmy.output import RequestOutput


class RetoldStream:
    """An `OutputStream` of what is new. DecodeError when the answer is told otherwise."""

    def __init__(self, stream: OutputStream, answer: Answer) -> None:
        self._stream = stream
        self._retelling = Retelling(answer)

    def cancel(self) -> None:
        self._stream.cancel()

    def __aiter__(self) -> RetoldStream:
        return self

    async def __anext__(self) -> RequestOutput:
        while True:
            try:
                output = self._retelling.new_in(await self._stream.__anext__())
            except DivergedError:
                raise DecodeError("the answer cannot go on: the engine tells it otherwise than before") from None
            if output is not None:
                return output
