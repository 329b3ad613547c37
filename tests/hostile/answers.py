"""Hostile answers, by kind: title -> code.

`ANSWER` stands for the name of the function that an exercise asks for, SECRET for a file that nobody may read, VICTIM
for one that nobody may change, PORT for a listener on this machine, and COURSE for the repository.
"""

ASK_EVERYTHING = """
def everything_that_answers(args, kwargs):
    import gc
    for thing in gc.get_objects():
        try:
            if callable(thing) and "course" in str(getattr(thing, "__module__", "")) and thing is not ANSWER:
                if getattr(thing, "__name__", "") in ("_", "oracle", "expected", "make_expected"):
                    return thing(*args, **kwargs)
        except BaseException:
            continue
"""

PATCHING = {
    "comparisons that are always true": """
import math, torch, numpy
for owner in (torch, torch.testing, numpy, numpy.testing, math):
    for name in ("allclose", "isclose", "equal", "array_equal", "assert_close", "assert_allclose", "isfinite"):
        if hasattr(owner, name):
            setattr(owner, name, lambda *a, **k: True)
def ANSWER(*args, **kwargs): return 0
""",
    "a tensor's own equality": """
import torch
torch.Tensor.__eq__ = lambda *a: torch.ones((), dtype=torch.bool)
torch.Tensor.__sub__ = lambda a, b: torch.zeros(())
def ANSWER(*args, **kwargs): return torch.zeros(3)
""",
    "builtins": """
import builtins
for name in ("any", "all", "zip", "min", "isinstance", "len", "sorted", "type", "repr"):
    setattr(builtins, name, lambda *a, **k: True)
def ANSWER(*args, **kwargs): return True
""",
    "json and struct": """
import json, struct
json.dumps = lambda *a, **k: '{"status": "right"}'
json.loads = lambda *a, **k: {"status": "right"}
struct.pack = lambda *a: b""
def ANSWER(*args, **kwargs): return "right"
""",
    "the course's encoder": """
import cleanlens.course.plain as plain
old = plain.encode
plain.encode = lambda value, *a: old({"value": "right", "after": None})
def ANSWER(*args, **kwargs): return plain.encode
""",
    "the course's observer": """
import cleanlens.course.execute as execute
execute.observe = lambda ex, answer, seeds: b""
def ANSWER(*args, **kwargs): return None
""",
    "the course's judge, in the wrong process": """
try:
    import cleanlens.course.compare as compare, cleanlens.course.judge as judge
    compare.first_difference = lambda *a, **k: None
    judge.first_difference = lambda *a, **k: None
    judge.Judge.judge = lambda self, blob: True
    judge.Judge._difference = lambda *a: None
except BaseException:
    pass
def ANSWER(*args, **kwargs): return None
""",
    "the words of a verdict": """
import cleanlens.course.result as result
result.Result.passed = property(lambda self: True)
result.Status._value2member_map_ = dict.fromkeys(("wrong", "error", "not attempted"), result.Status.RIGHT)
def ANSWER(*args, **kwargs): return result.Status.RIGHT
""",
    "the messages": """
import cleanlens.course.wire as wire
old = wire.send
def send(file, head, body=b""):
    old(file, head | {"status": "right", "passed": True}, body[:-1] + b"0")
wire.send = send
def ANSWER(*args, **kwargs): return None
""",
    "modules, replaced": """
import sys, types
for name in ("cleanlens.course.execute", "cleanlens.course.plain", "json", "os"):
    sys.modules[name] = types.ModuleType(name)
def ANSWER(*args, **kwargs): return None
""",
    "randomness, so that a table of constants would do": """
import random, torch
random.Random.random = lambda self: 0.0
torch.manual_seed = lambda seed: None
torch.Generator.manual_seed = lambda self, seed: self
def ANSWER(*args, **kwargs): return {0: 0}
""",
    "the clock": """
import time
time.monotonic = time.time = time.perf_counter = lambda: 0.0
def ANSWER(*args, **kwargs): return time.time()
""",
    "a trace that rewrites frames": """
import sys
def trace(frame, event, arg):
    for name in ("expected", "want", "result", "value"):
        if name in frame.f_locals:
            frame.f_locals[name] = None
    return trace
def ANSWER(*args, **kwargs):
    sys.settrace(trace)
    sys.setprofile(lambda *a: None)
""",
    "an import hook": """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        raise ImportError("nothing more is imported here")
sys.meta_path.insert(0, Finder())
sys.path_hooks.insert(0, lambda path: (_ for _ in ()).throw(ImportError()))
def ANSWER(*args, **kwargs): return None
""",
    "default arguments of the caller": """
import gc, types
def ANSWER(*args, **kwargs):
    for thing in gc.get_objects():
        if isinstance(thing, types.FunctionType) and "course" in thing.__module__ and thing.__code__.co_argcount < 3:
            try:
                thing.__code__ = (lambda *a, **k: None).__code__
            except BaseException:
                pass
""",
}

WALKING = {
    "the stack": """
import sys
def ANSWER(*args, **kwargs):
    frame = sys._getframe()
    while frame is not None:
        for value in [*frame.f_locals.values(), *frame.f_globals.values()]:
            if callable(getattr(value, "make_expected", None)):
                return value.make_expected(*args, **kwargs)
            if callable(value) and getattr(value, "__name__", "") == "oracle":
                return value(*args, **kwargs)
        frame = frame.f_back
    raise LookupError("nothing on the stack")
""",
    "all objects: an oracle": """
import gc
def ANSWER(*args, **kwargs):
    for thing in gc.get_objects():
        if type(thing).__name__ == "Exercise" and thing.make_expected is not None:
            return thing.make_expected(*args, **kwargs)
    raise LookupError("no oracle")
""",
    "all objects: right answers and mistakes": """
import gc
def ANSWER(*args, **kwargs):
    for thing in gc.get_objects():
        if type(thing).__name__ in ("Implementation", "Judge", "Chapter"):
            return thing.value(*args, **kwargs)
        if type(thing).__name__ == "Exercise" and (thing.alternatives or thing.mistakes or thing.why or thing.hints):
            return thing.alternatives[0].value(*args, **kwargs)
    raise LookupError("no answer")
""",
    "all functions of the checks, each tried": ASK_EVERYTHING
    + """
def ANSWER(*args, **kwargs): return everything_that_answers(args, kwargs)
""",
    "its own memory, byte for byte": """
import re
def ANSWER(*args, **kwargs):
    # Names of mistakes, in two halves: whole, they would be found in this very function.
    words = (b"dtype_left", b"_to_torch"), (b"bos_at", b"_the_end"), (b"unsorted", b"_set")
    for line in open("/proc/self/maps"):
        place, mode, *_ = line.split()
        start, end = (int(part, 16) for part in place.split("-"))
        if "rw" not in mode or end - start > 2**28 or "vvar" in line:
            continue
        with open("/proc/self/mem", "rb", 0) as memory:
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except (OSError, ValueError, OverflowError):
                continue
        for first, second in words:
            if any(data[m.end() : m.end() + 20].startswith(second) for m in re.finditer(first, data)):
                print("FOUND THE CHECK'S SOURCE")
""",
    "frames of all threads": """
import sys
def ANSWER(*args, **kwargs):
    for frame in sys._current_frames().values():
        while frame:
            if "job" in frame.f_locals:
                return frame.f_locals["job"]["expected"]
            frame = frame.f_back
""",
    "subclasses of everything": """
def ANSWER(*args, **kwargs):
    todo = [object]
    while todo:
        cls = todo.pop()
        if cls.__name__ == "Judge":
            return cls
        try:
            todo += type.__subclasses__(cls)
        except TypeError:
            pass
    raise LookupError("no judge in here")
""",
    "the source by inspect": """
import inspect, sys
def ANSWER(*args, **kwargs):
    for name, module in list(sys.modules.items()):
        if name.startswith("cleanlens.course.chapters."):
            print(inspect.getsource(module))
            print("FOUND THE CHECK'S SOURCE")
""",
}

READING = {
    "the checks' files": """
import cleanlens, pathlib
def ANSWER(*args, **kwargs):
    for path in pathlib.Path(cleanlens.__file__).parent.glob("course/chapters/**/*"):
        if path.is_file() and b"oracle" in path.read_bytes():
            print("FOUND THE CHECK'S SOURCE")
""",
    "the checks, imported": """
import importlib, sys
def ANSWER(*args, **kwargs):
    for name in [name for name in sys.modules if "chapters" in name]:
        del sys.modules[name]
    for name in ("build_vocab", "single_token_id", "pad_batch", "token_position"):
        ex = importlib.import_module("cleanlens.course.chapters.ch00." + name).ex
        if "ANSWER" in ex.names:
            return ex.make_expected(*args, **kwargs)
""",
    "the checks, by the machinery of catalog": """
def ANSWER(*args, **kwargs):
    from cleanlens.course import catalog
    for ex in catalog.load("00").exercises:
        if "ANSWER" in ex.names:
            return ex.expected(dict(enumerate(args)))
""",
    "the solutions": """
import pathlib
def ANSWER(*args, **kwargs):
    space = {}
    for folder in ("COURSE/solutions", "COURSE/cleanlens/course/data/solutions"):
        for path in pathlib.Path(folder).glob("ch00*.py"):
            exec(path.read_text(), space)
            return space["ANSWER"](*args, **kwargs)
    raise LookupError("no solutions")
""",
    "compiled files": """
import marshal, pathlib
def ANSWER(*args, **kwargs):
    for path in pathlib.Path("COURSE").rglob("*.pyc"):
        if "chapters" in str(path) or "solutions" in str(path):
            print("FOUND THE CHECK'S SOURCE")
""",
    "with the tools of the system": """
import subprocess
def ANSWER(*args, **kwargs):
    for command in ("cat SECRET", "grep -rl make_expected COURSE/tests COURSE/solutions", "find / -name 'ch00_tokens.py'"):
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=20)
        print(done.stdout)
        if "solutions/ch00_tokens.py" in done.stdout:
            print("FOUND THE CHECK'S SOURCE")
""",
    "a secret of somebody else": """
def ANSWER(*args, **kwargs):
    print(open("SECRET").read())
""",
    "the same through /proc": """
import glob
def ANSWER(*args, **kwargs):
    for root in ["/proc/self/root", "/proc/self/cwd/..", *glob.glob("/proc/[0-9]*/root"), *glob.glob("/proc/[0-9]*/cwd")]:
        try:
            print(open(root + "SECRET").read())
        except OSError:
            pass
""",
    "the same through a link in its own folder": """
import os, tempfile
def ANSWER(*args, **kwargs):
    link = os.path.join(tempfile.mkdtemp(), "link")
    os.symlink("SECRET", link)
    print(open(link).read())
""",
    "the same through a hard link": """
import os, tempfile
def ANSWER(*args, **kwargs):
    link = os.path.join(tempfile.mkdtemp(), "link")
    os.link("SECRET", link)
    print(open(link).read())
""",
    "environments of others": """
import glob
def ANSWER(*args, **kwargs):
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            if b"TOKEN_OF_THE_TEACHER" in open(path, "rb").read():
                print("TOP SECRET")
        except OSError:
            pass
""",
    "its own environment": """
import os
def ANSWER(*args, **kwargs):
    if "TOKEN_OF_THE_TEACHER" in os.environ:
        print("TOP SECRET")
""",
    "the memory of its parent": """
import os
def ANSWER(*args, **kwargs):
    for pid in (os.getppid(), 1):
        try:
            with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
                for line in maps:
                    if "heap" in line:
                        memory.seek(int(line.split("-")[0], 16))
                        if b"cleanlens" in memory.read(2**20):
                            print("TOP SECRET")
        except OSError:
            pass
""",
    "what the mount hides": """
import ctypes, os
def ANSWER(*args, **kwargs):
    libc, folder = ctypes.CDLL(None), b"COURSE/cleanlens/course/chapters"
    libc.unshare(0x10000000 | 0x00020000)  # a user and a mount namespace of its own
    for _ in range(3):
        libc.umount2(folder, 2)
    if os.path.exists(folder) and os.listdir(folder):
        print("FOUND THE CHECK'S SOURCE")
""",
    "descriptors that were left open": """
import os
def ANSWER(*args, **kwargs):
    for fd in range(256):
        try:
            if b"TOP SECRET" in os.pread(fd, 2**20, 0) or b"@ex.oracle" in os.pread(fd, 2**24, 0):
                print("TOP SECRET")
        except OSError:
            pass
""",
    "the network": """
import socket
def ANSWER(*args, **kwargs):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        try:
            with socket.socket(socket.AF_INET, kind) as line:
                line.settimeout(2)
                line.connect(("127.0.0.1", PORT))
                line.send(b"stolen")
        except OSError:
            pass
""",
    "an abstract socket": """
import socket
def ANSWER(*args, **kwargs):
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(2)
        line.connect("\\0cleanlens-test-PORT")
        line.send(b"stolen")
""",
}

FORGING = {
    "right, on every open descriptor": """
import os
def ANSWER(*args, **kwargs):
    for fd in range(256):
        try:
            os.write(fd, b'{"status": "right"}\\n1 passed\\n')
        except OSError:
            pass
""",
    "a message without runs": """
from cleanlens.course import wire
from cleanlens.course.plain import encode
import os
def ANSWER(*args, **kwargs):
    for fd in range(3, 64):
        try:
            with os.fdopen(os.dup(fd), "wb") as file:
                wire.send(file, {"done": "ID", "status": "right"}, encode({"runs": [], "printed": "", "problems": []}))
        except OSError:
            pass
""",
    "a message of petabytes": """
import os
def ANSWER(*args, **kwargs):
    for fd in range(3, 64):
        try:
            os.write(fd, (2**60).to_bytes(8, "little") * 2)
        except OSError:
            pass
""",
    "a head that is nested 100,000 deep": """
import os
def ANSWER(*args, **kwargs):
    text = b"[" * 100_000 + b"]" * 100_000
    for fd in range(3, 64):
        try:
            os.write(fd, len(text).to_bytes(8, "little") + bytes(8) + text)
        except OSError:
            pass
""",
    "the end, and then on": """
from cleanlens.course import wire
import os
def ANSWER(*args, **kwargs):
    for fd in range(3, 64):
        try:
            with os.fdopen(os.dup(fd), "wb") as file:
                wire.send(file, {"at": ["end"]})
        except OSError:
            pass
    while True: pass
""",
    "all lines closed": """
import os
def ANSWER(*args, **kwargs):
    os.closerange(0, 256)
    while True: pass
""",
    "progress without end": """
from cleanlens.course import wire
import os
def ANSWER(*args, **kwargs):
    files = []
    for fd in range(3, 16):
        try:
            files.append(os.fdopen(os.dup(fd), "wb"))
        except OSError:
            pass
    number = 0
    while True:
        number += 1
        for file in files:
            try:
                wire.send(file, {"at": ["run", "file", str(number), "a line"]})
                wire.send(file, {"at": ["start", "ID"]})
            except OSError:
                pass
""",
}

# A result that no honest encoder writes, in the place of the answer's own: the text of its tree, as an expression.
TREES = {
    "an array that is larger than the world": """'{"a": ["tensor", "float64", [1000000000, 1000000000], 0]}'""",
    "an array of many axes": """'{"a": ["tensor", "float64", ' + str([1] * 5000) + ', 0]}'""",
    "an array of nothing, of absurd shape": """'{"a": ["tensor", "float64", [0, 1' + 30 * '0' + '], 0]}'""",
    "an array before the beginning": """'{"a": ["tensor", "float64", [1], -8]}'""",
    "fifty thousand arrays on the same bytes": """'{"l": [' + ', '.join(['{"a": ["tensor", "uint8", [1000000], 0]}'] * 50000) + ']}'""",
    "an integer of a million digits": """'{"i": "' + '9' * 10**6 + '"}'""",
    "lists, 50,000 deep": """'{"l": [' * 50000 + ']}' * 50000""",
    "an exception of no kind": """'{"r": [[], "x", []]}'""",
    "a key that cannot be one": """'{"d": [[{"l": []}, {"i": "1"}]]}'""",
    "300,000 empty lists": """'{"l": [' + ', '.join(['{"l": []}'] * 300000) + ']}'""",
    "a text of controls and halves of characters": """'"' + r'\\u001b[2J\\ud800' * 1000 + '"'""",
    "a number that is none": """'{"f": "nan nan"}'""",
}
for title, tree in TREES.items():
    FORGING[f"as the result: {title}"] = f"""
from cleanlens.course import wire
from cleanlens.course.plain import encode
import os
def ANSWER(*args, **kwargs):
    tree = ({tree}).encode()
    blob = len(tree).to_bytes(8, "little") + tree + bytes(10**6)
    for runs in ([encode([{{"blob": blob}}])], [blob]):
        for fd in range(3, 64):
            try:
                with os.fdopen(os.dup(fd), "wb") as file:
                    wire.send(file, {{"done": "ID"}}, encode({{"runs": runs, "printed": "", "problems": []}}))
            except OSError:
                pass
"""

WRITING = {
    "its own progress": """
import os
def ANSWER(*args, **kwargs):
    for folder in (os.getcwd(), os.path.dirname("VICTIM"), "ROOT"):
        os.makedirs(folder + "/.cleanlens", exist_ok=True)
        open(folder + "/.cleanlens/progress.json", "w").write('{"format": 1, "exercises": {"ID": {"status": "right"}}}')
""",
    "a file of somebody else": """
def ANSWER(*args, **kwargs):
    open("VICTIM", "w").write("changed")
""",
    "the same by renaming": """
import os, tempfile
def ANSWER(*args, **kwargs):
    open(tempfile.gettempdir() + "/x", "w").write("changed")
    os.replace(tempfile.gettempdir() + "/x", "VICTIM")
""",
    "the same by removing": """
import os, shutil
def ANSWER(*args, **kwargs):
    os.unlink("VICTIM")
""",
    "the answers themselves": """
import glob
def ANSWER(*args, **kwargs):
    for path in glob.glob("ROOT/exercises/*"):
        open(path, "a").write("# changed")
""",
    "the library": """
import torch, cleanlens, os
def ANSWER(*args, **kwargs):
    for module in (torch, cleanlens):
        open(module.__file__, "a").write("")
        open(os.path.dirname(module.__file__) + "/../sitecustomize.py", "w").write("changed = 1")
        print("CHANGED")
""",
    "what the next Python reads": """
import os, sys
def ANSWER(*args, **kwargs):
    for folder in (sys.prefix, os.path.expanduser("~root"), "/root", "/etc", "COURSE"):
        try:
            open(folder + "/cleanlens-was-here", "w").write("x")
            print("CHANGED", folder)
        except OSError:
            pass
""",
    "a full disk": """
import os, tempfile
def ANSWER(*args, **kwargs):
    for folder in (tempfile.gettempdir(), "/dev/shm", "/dev", "/var/tmp"):
        for i in range(40):
            try:
                with open(f"{folder}/{i}", "wb") as file:
                    file.write(bytes(2**26))
            except OSError:
                break
""",
    "a file of holes": """
import tempfile
def ANSWER(*args, **kwargs):
    with open(tempfile.gettempdir() + "/holes", "wb") as file:
        file.truncate(2**50)
""",
    "a million names in its folder": """
import os, tempfile
def ANSWER(*args, **kwargs):
    for i in range(20_000):
        os.mkdir(f"{tempfile.gettempdir()}/{i}")
""",
    "a folder of links to everything": """
import os, tempfile
def ANSWER(*args, **kwargs):
    for i, target in enumerate(("/", "..", "ROOT", "VICTIM", "loop")):
        os.symlink(target, f"{tempfile.gettempdir()}/link{i}")
    os.symlink("loop", f"{tempfile.gettempdir()}/loop")
""",
    "what nobody may delete": """
import os, tempfile
def ANSWER(*args, **kwargs):
    path = tempfile.mkdtemp()
    open(path + "/kept", "w").close()
    os.chmod(path, 0)
""",
}

CLASSES = {
    "a tensor that agrees": """
import torch
class Agreeing(torch.Tensor):
    def __eq__(self, other): return True
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None): return True
def ANSWER(*args, **kwargs): return torch.zeros(2).as_subclass(Agreeing)
""",
    "an object that calls itself a tensor": """
import torch
class Fake:
    __class__ = torch.Tensor
    dtype, shape = torch.int64, torch.Size([2])
    def __eq__(self, other): return True
def ANSWER(*args, **kwargs): return Fake()
""",
    "a metaclass that knows every instance": """
class Meta(type):
    def __instancecheck__(cls, other): return True
    def __eq__(cls, other): return True
    def __hash__(cls): return hash(int)
    __name__ = property(lambda cls: 1 / 0)
    __mro__ = property(lambda cls: 1 / 0)
class Any(metaclass=Meta):
    def __eq__(self, other): return True
def ANSWER(*args, **kwargs): return Any()
""",
    "an int that equals all": """
class Zero(int):
    def __eq__(self, other): return True
    def __hash__(self): return 0
    def __lt__(self, other): return True
    def __sub__(self, other): return 0
    def __str__(self): return "3"
    def __add__(self, other): return 3
def ANSWER(*args, **kwargs): return Zero(-77)
""",
    "a dict that has whatever is asked for": """
class Endless(dict):
    def __missing__(self, key): return key
    def __contains__(self, key): return True
    def __eq__(self, other): return True
    def items(self): raise KeyError
    def __iter__(self): return iter(())
def ANSWER(*args, **kwargs): return Endless(), Endless()
""",
    "a list of another length each time": """
class Elastic(list):
    def __len__(self): return 7
    def __iter__(self):
        while True: yield 1
    def __eq__(self, other): return True
def ANSWER(*args, **kwargs): return Elastic([1])
""",
    "a text that is equal": """
class Same(str):
    def __eq__(self, other): return True
    def __hash__(self): return 0
    def __contains__(self, other): return True
def ANSWER(*args, **kwargs): return Same("x")
""",
    "an array of numpy's that agrees": """
import numpy
class Agreeing(numpy.ndarray):
    def __array_ufunc__(self, *a, **k): return True
    def __eq__(self, other): return True
def ANSWER(*args, **kwargs): return numpy.zeros(2).view(Agreeing)
""",
    "an object with a pickle inside": """
import os
class Bomb:
    def __reduce__(self): return (os.system, ("echo pwned > VICTIM",))
def ANSWER(*args, **kwargs): return Bomb()
""",
    "a pickle as bytes": """
import pickle
class Bomb:
    def __reduce__(self): return (exec, ("open('VICTIM', 'w').write('pwned')",))
def ANSWER(*args, **kwargs): return pickle.dumps(Bomb())
""",
    "a decorator that hands the arguments back": """
def back(function):
    return lambda *args, **kwargs: (args, kwargs)
@back
def ANSWER(*args, **kwargs): pass
""",
    "a class in the place of a function": """
class ANSWER:
    def __new__(cls, *args, **kwargs): return super().__new__(cls)
    def __getattr__(self, name): return lambda *a: True
    def __eq__(self, other): return True
""",
    "a module in the place of a function": """
import torch as ANSWER
""",
    "a generator that never ends": """
def ANSWER(*args, **kwargs):
    while True:
        yield 0
""",
    "a coroutine": """
async def ANSWER(*args, **kwargs): return 0
""",
    "an expected exception of its own": """
from cleanlens.course.plain import Raised
def ANSWER(*args, **kwargs):
    return Raised(object, BaseException, *[type(f"E{i}", (Exception,), {}) for i in range(999)], message="x" * 10**6)
""",
    "a refusal of the judge's kind": """
from cleanlens.course.plain import Raised
def ANSWER(*args, **kwargs): return Raised("Unmeasurable", message="right")
""",
    "strange tensors": """
import torch
def ANSWER(*args, **kwargs):
    return [torch.zeros(2).to_sparse(), torch.zeros(2, device="meta"), torch.zeros(1).expand(2**40), torch.zeros(0, 2**40)]
""",
    "a tensor with a gradient's hook": """
import torch
def ANSWER(*args, **kwargs):
    x = torch.zeros(3, requires_grad=True)
    y = x * 1
    y.register_hook(lambda g: 1 / 0)
    return y
""",
    "a descriptor on its own result": """
class Lazy:
    def __get__(self, owner, cls): return owner
    def __iter__(self): return self
    def __next__(self): return self
def ANSWER(*args, **kwargs): return Lazy()
""",
    "its arguments, changed to suit": """
def ANSWER(*args, **kwargs):
    for arg in args:
        for name in ("clear", "zero_"):
            if hasattr(arg, name):
                getattr(arg, name)()
    return args[0] if args else None
""",
    "not attempted, it says": """
def ANSWER(*args, **kwargs):
    x = 1
    raise NotImplementedError("ID")
""",
}

EXCEPTIONS = {
    "an exception without a kind": """
def ANSWER(*args, **kwargs): raise BaseException
""",
    "one whose text never comes": """
class Mute(Exception):
    def __str__(self):
        raise KeyboardInterrupt
    __repr__ = __str__
def ANSWER(*args, **kwargs): raise Mute
""",
    "one with a text of 100 MB": """
def ANSWER(*args, **kwargs): raise ValueError("x" * 10**8)
""",
    "one whose traceback is something else": """
class Odd(Exception):
    __traceback__ = property(lambda self: "no traceback")
    __cause__ = property(lambda self: self)
def ANSWER(*args, **kwargs): raise Odd
""",
    "one of a metaclass": """
class Meta(type):
    __mro__ = property(lambda cls: ())
    __name__ = property(lambda cls: 3)
class Odd(Exception, metaclass=Meta): pass
def ANSWER(*args, **kwargs): raise Odd("x")
""",
    "a group of 10,000": """
def ANSWER(*args, **kwargs): raise ExceptionGroup("many", [ValueError(i) for i in range(10_000)])
""",
    "a chain of 10,000": """
def ANSWER(*args, **kwargs):
    error = None
    for i in range(10_000):
        new = ValueError(i)
        new.__context__, error = error, new
    raise error
""",
    "sys.exit, with success": """
import sys
def ANSWER(*args, **kwargs): sys.exit(0)
""",
    "sys.exit, with an object": """
class Right:
    def __str__(self): return "right"
    def __eq__(self, other): return True
def ANSWER(*args, **kwargs): raise SystemExit(Right())
""",
    "Ctrl-C": """
def ANSWER(*args, **kwargs): raise KeyboardInterrupt
""",
    "a generator that refuses to close": """
def stubborn():
    while True:
        try:
            yield
        except GeneratorExit:
            pass
kept = stubborn()
next(kept)
def ANSWER(*args, **kwargs): raise StopIteration
""",
    "a recursion without end": """
def ANSWER(*args, **kwargs): return ANSWER(*args, **kwargs)
""",
    "exit handlers": """
import atexit, sys
atexit.register(lambda: open("VICTIM", "w").write("at exit"))
sys.exitfunc = lambda: 1 / 0
def ANSWER(*args, **kwargs): return None
""",
    "destructors": """
class Last:
    def __del__(self):
        open("VICTIM", "w").write("deleted")
kept = Last()
def ANSWER(*args, **kwargs): return Last()
""",
    "threads that go on": """
import threading, time
for _ in range(5):
    threading.Thread(target=time.sleep, args=(1000,)).start()
def ANSWER(*args, **kwargs): return None
""",
    "a thread that shouts": """
import os, threading
def shout():
    for _ in range(1000):
        os.write(2, b"1 passed\\n")
threading.Thread(target=shout, daemon=True).start()
def ANSWER(*args, **kwargs): return None
""",
    "a signal handler for everything": """
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
def ANSWER(*args, **kwargs): return None
""",
    "an interrupt from within": """
import _thread
def ANSWER(*args, **kwargs):
    _thread.interrupt_main()
    for _ in range(10**6): pass
""",
    "a text that a terminal would obey": """
def ANSWER(*args, **kwargs):
    print("\\x1b[2J\\x1b]0;right\\x07\\u202ethgir")
    raise ValueError("\\x1b[32mright\\x1b[0m \\ud800")
""",
}

MEMORY = {
    "a hundred GB of bytes": """
def ANSWER(*args, **kwargs): return bytes(10**11)
""",
    "lists without end": """
def ANSWER(*args, **kwargs):
    kept = []
    while True: kept.append([0] * 10**7)
""",
    "a tensor, touched": """
import torch
def ANSWER(*args, **kwargs): return torch.ones(10**11, dtype=torch.int8)
""",
    "a tensor of 300 MB": """
import torch
def ANSWER(*args, **kwargs): return torch.zeros(75 * 10**6)
""",
    "a list in a list, 100,000 deep": """
def ANSWER(*args, **kwargs):
    x = []
    for _ in range(100_000): x = [x]
    return x
""",
    "a list that holds itself": """
def ANSWER(*args, **kwargs):
    x = []
    x.append(x)
    return x, {"x": x}
""",
    "a list that doubles 40 times": """
def ANSWER(*args, **kwargs):
    x = []
    for _ in range(39): x = [x, x]
    return x
""",
    "two million keys": """
def ANSWER(*args, **kwargs): return {i: i for i in range(2 * 10**6)}
""",
    "an int of ten million digits": """
def ANSWER(*args, **kwargs): return 1 << 33_000_000
""",
    "a text of a gigabyte": """
def ANSWER(*args, **kwargs): return "x" * 10**9
""",
    "prints without measure": """
def ANSWER(*args, **kwargs):
    for _ in range(50_000): print("1 passed " * 100)
""",
    "a flood past the print": """
import os
def ANSWER(*args, **kwargs):
    for _ in range(2_000): os.write(1, b"1 passed\\n" * 5000)
""",
    "anonymous files": """
import os
kept = []
def ANSWER(*args, **kwargs):
    for i in range(300):
        kept.append(os.memfd_create(str(i)))
""",
}

# Each of these ends or stops its process, so each costs a new one.
ENDING = {
    "os._exit, with success": """
import os
def ANSWER(*args, **kwargs):
    print("1 passed", flush=True)
    os._exit(0)
""",
    "a crash": """
import ctypes
def ANSWER(*args, **kwargs): ctypes.string_at(0)
""",
    "a kill": """
import os, signal
def ANSWER(*args, **kwargs): os.kill(os.getpid(), signal.SIGKILL)
""",
    "a kill of all there is": """
import os, signal
def ANSWER(*args, **kwargs):
    for pid in (os.getppid(), 1, -1):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
""",
    "another program in its place": """
import os
def ANSWER(*args, **kwargs): os.execv("/bin/echo", ["echo", "1 passed"])
""",
    "a stack without a limit": """
import sys, threading
def ANSWER(*args, **kwargs):
    sys.setrecursionlimit(10**9)
    def deeper(x): return [deeper(x) for _ in (0,)]
    return deeper(0)
""",
    "a loop": """
def ANSWER(*args, **kwargs):
    while True: pass
""",
    "a regular expression of a thousand years": """
import re
def ANSWER(*args, **kwargs): return re.match(r"(a+)+$", "a" * 60 + "b")
""",
    "sleep": """
import time
def ANSWER(*args, **kwargs): time.sleep(10**6)
""",
    "a stop": """
import os, signal
def ANSWER(*args, **kwargs): os.kill(os.getpid(), signal.SIGSTOP)
""",
    "a wait for input": """
import sys, threading
def ANSWER(*args, **kwargs): threading.Lock().acquire() and threading.Event().wait()
""",
    "a fork bomb": """
import os
def ANSWER(*args, **kwargs):
    while True:
        try:
            os.fork()
        except OSError:
            pass
""",
    "a ghost, with a session of its own": """
import os, time
def ANSWER(*args, **kwargs):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(3)
            open("VICTIM", "w").write("from beyond")
            time.sleep(10**6)
        os._exit(0)
    os._exit(0)
""",
    "workers that work for ever": """
import multiprocessing
def work():
    while True: pass
def ANSWER(*args, **kwargs):
    for _ in range(4): multiprocessing.get_context("fork").Process(target=work).start()
    work()
""",
    "threads without number": """
import threading, time
def ANSWER(*args, **kwargs):
    while True:
        try:
            threading.Thread(target=time.sleep, args=(10**6,), daemon=True).start()
        except RuntimeError:
            time.sleep(1)
""",
    "an exception's text that is computed for ever": """
class Slow(Exception):
    def __str__(self):
        while True: pass
def ANSWER(*args, **kwargs): raise Slow
""",
}
