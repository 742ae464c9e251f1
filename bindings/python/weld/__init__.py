"""Weld: compile small data-parallel programs and run them on NumPy arrays.

    >>> import numpy, weld
    >>> scaled_sum = weld.compile("|v: vec[i64], k: i64| result(for(v, merger[i64,+], |b, i, x| merge(b, x * k)))")
    >>> scaled_sum(numpy.array([1, 2, 3]), 10)
    60

How values of Python stand for values of programs:

==================  ========================================  ==========================================
type                as an argument                            as a result
==================  ========================================  ==========================================
``bool``            bool, numpy.bool_                         bool
``i8`` … ``u64``    int, NumPy integers; OverflowError        int
``f32``, ``f64``    float, int, NumPy numbers                 float
``vec[S]``          1-D contiguous array of exactly the       read-only 1-D array
                    dtype, borrowed; or a list of scalars
``vec[i8]``, u8     also str (UTF-8) and bytes, borrowed      read-only array; ``.tobytes()``
``vec[{A,B}]``      structured array, laid out as the C       structured array with fields f0, f1, …;
                    struct (``align=True``); list of tuples   list of tuples where A or B holds vectors
``vec[vec[T]]``     list of the above; array of dtype ``S``   list of arrays
``{A,B}``           tuple                                     tuple
``simd[S]``         tuple of 4                                tuple of 4
``dict[K,V]``       no                                        dict; keys of ``vec[i8]`` and ``vec[u8]``
                                                              are bytes, of other vectors tuples
==================  ========================================  ==========================================

Arrays of results are not copied: they lie in memory of the run, or in the arguments where a program returns
its arguments or slices of them, and keep that alive. Arguments must not be changed while a program runs.

The native library, and with it LLVM, is loaded when something is compiled first, not by ``import weld``.
"""

import functools
import threading
import weakref

from weld.errors import ErrorCode, WeldError

__all__ = ["Context", "ErrorCode", "Program", "WeldError", "compile", "load_library", "run", "version"]

_CONTEXT_KEYS = ("weld.memory.limit", "weld.threads", "weld.deadline.ms")
_contexts = weakref.WeakValueDictionary()
_default_context = None  # the one without limits of its own lives on
_contexts_lock = threading.Lock()


def compile(program, conf=None, *, context=None, **options):
    """Compiles the text of a program, and returns it as a ``Program``, to be called with its arguments.

    Args:
        program: the text.
        conf: a mapping of keys and values of the conf, e.g. ``{"weld.threads": 2}``.
        context: a ``Context`` for the memory of its runs. By default programs with equal ``memory_limit``,
            ``threads`` and ``deadline_ms`` share one.
        options: keys of the conf as names: ``memory_limit=10**9`` (bytes) is ``weld.memory.limit``; so
            ``threads``, ``deadline_ms`` (of a run), ``deterministic``, ``interpret``, ``cache_dir``, ….

    Raises:
        WeldError: the program is rejected (CompileError), a key or value is wrong (ConfigurationError), or
            a budget is exceeded.
        TypeError: the program takes or returns what Python cannot hold: builders, and dictionaries as
            arguments.
    """
    from weld import _native

    settings = _settings(conf, options)
    return _native.Program(program, settings, _context_for(settings) if context is None else context)


def run(program, *arguments, **options):
    """Compiles the text of a program, or finds it compiled, and runs it. Arguments and errors as those of
    ``compile`` and of a ``Program``."""
    return _compiled(program, tuple(sorted(options.items())))(*arguments)


def load_library(path):
    """Loads a shared library whose functions programs may call with ``cudf``. Raises WeldError
    (LoadLibraryError)."""
    from weld import _native

    _native.load_library(path)


def version():
    """The version of the native library, ``major.minor.patch``."""
    from weld import _native

    return _native.version()


def _settings(conf, options):
    settings = {key: _setting(value) for key, value in (conf or {}).items()}
    for name, value in options.items():
        settings["weld." + name.replace("_", ".")] = _setting(value)
    return settings


def _setting(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def _context_for(settings):
    from weld import _native

    global _default_context
    wanted = {key: settings[key] for key in _CONTEXT_KEYS if key in settings}
    name = tuple(wanted.items())
    with _contexts_lock:
        found = _contexts.get(name)
        if found is None:
            found = _contexts[name] = _native.Context(wanted)
            if not wanted:
                _default_context = found
        return found


@functools.lru_cache(maxsize=256)
def _compiled(program, options):
    return compile(program, **dict(options))


def __getattr__(name):
    if name in ("Context", "Program"):
        from weld import _native

        return getattr(_native, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
