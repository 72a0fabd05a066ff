"""``python -m mfserve_trainer.fit_process ANSWERS``: fits, one task after another, in a process that may be killed.

Tasks come as lines on standard input, answers go as lines to the file descriptor ANSWERS (see ``messages``). What
libraries print goes to standard error. The end of standard input means that the worker is gone: the process ends at
once, also in the middle of a fit.
"""

from __future__ import annotations

import gc
import importlib
import os
import queue
import shutil
import signal
import sys
import threading
from typing import BinaryIO, NoReturn

import structlog

from mfserve_registry.errors import RegistryError
from mfserve_registry.jobs import Progress
from mfserve_registry.logs import configure_logs
from mfserve_registry.settings import ProcessSettings
from mfserve_trainer.datasets.download import Unavailable
from mfserve_trainer.messages import TEMPORARY_FILES, Done, Failed, File, FitTask, Ready, Step

_log = structlog.get_logger(__name__)


def main() -> None:
    # Meant for the worker, which gives the job back and then ends this process; a terminal sends Ctrl-C to both.
    for caught in (signal.SIGINT, signal.SIGTERM):
        signal.signal(caught, signal.SIG_IGN)
    settings = ProcessSettings.model_validate_json(sys.stdin.buffer.readline())
    configure_logs(settings, process="fit")
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    # A thread of its own, since the main one is deep in TensorFlow when the worker goes.
    threading.Thread(target=_read_tasks, args=(sys.stdin.buffer, tasks), daemon=True).start()
    try:
        # Buffered, as a raw file may write a part of a line only.
        with os.fdopen(int(sys.argv[1]), "wb") as answers:
            import_tensorflow()
            _send(answers, Ready())
            while True:
                _send(answers, _perform(FitTask.model_validate_json(tasks.get()), answers))
    except Exception:  # noqa: BLE001 - the log has the traceback
        _log.exception("the fit process ends")
        _end(1)


def _read_tasks(lines: BinaryIO, tasks: queue.SimpleQueue[bytes]) -> None:
    for line in lines:
        tasks.put(line)
    _end(0)


def _end(code: int) -> NoReturn:
    """Ends this process at once: the interpreter's own end would wait for the thread that reads."""
    # The worker removes our temporary files where it can; but it may have been killed.
    shutil.rmtree(os.environ[TEMPORARY_FILES], ignore_errors=True)
    os._exit(code)


def _send(answers: BinaryIO, message: Ready | Step | Done | Failed) -> None:
    answers.write(message.line())
    answers.flush()


def import_tensorflow() -> None:
    """Loads TensorFlow as every fit has it, so that the first task begins at once."""
    # Its notes about the processor and missing GPUs are news to nobody.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    # "Keras 3 is not what tf.keras stands for", else TensorFlow loads it here, and pandas and scikit-learn with it:
    # half as much again, in time and memory, for every fit that is not Keras's. That engine imports it by its own name.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    # What is imported stays: to look for garbage in it, meanwhile and ever after, costs a sixth of a start.
    gc.disable()
    importlib.import_module("tensorflow")
    gc.freeze()
    gc.enable()


def _unavailable(task: FitTask) -> str:
    name = getattr(task.dataset.source, "name", "the data set")
    return (
        f"{name} is not in the trainer's cache and could not be fetched; the trainer's log says why. "
        f"`mfserve datasets fetch {name}` on the trainer's machine tries again."
    )


def _perform(task: FitTask, answers: BinaryIO) -> Done | Failed:
    from mfserve_trainer.training import train

    def report(progress: Progress) -> None:
        _send(answers, Step.of(progress))

    try:
        trained = train(task, report)
    except Unavailable as error:
        # What the network, pip or the file system says is for whoever runs the trainer, not for the caller.
        _log.warning("a data set cannot be had", why=error.message)
        return Failed(reason=error.reason, message=_unavailable(task), defect=False)
    except RegistryError as error:
        return Failed(reason=error.reason, message=error.message, defect=False)
    except MemoryError:
        message = (
            "The training needs more memory than this trainer has; use fewer factors or a larger machine."
        )
        return Failed(reason="TRAINER_DIED", message=message, defect=True)
    except BrokenPipeError:  # nobody is there to be told
        raise
    except OSError as error:
        _log.exception("a fit failed")
        message = f"The trainer could not read or write its files: {error.strerror or type(error).__name__}."
        return Failed(reason="STORAGE_FAILED", message=message, defect=False)
    except Exception:  # noqa: BLE001 - one task may not end the others; the log has the traceback
        _log.exception("a fit failed")
        message = "The trainer failed unexpectedly; its log says why."
        return Failed(reason="INTERNAL", message=message, defect=True)
    return Done(
        digest=trained.digest, facts=trained.facts, files=[File.of(file) for file in trained.artifacts]
    )


if __name__ == "__main__":
    main()
