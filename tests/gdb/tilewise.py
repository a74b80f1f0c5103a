"""Commands and pretty-printers for gdb, to watch a schedule run tile by tile. `make gdb` loads them.

    tw-step [N]          run to the end of the next tile, or of the Nth: one step of online softmax
    tw-row I             m, l and the row of O of query row I now; backward: dQ of row I, dK and dV of key I
    tw-tile              the tile of scores, before and after its softmax, as tables; backward: dP and dS, too
    tw-watch-max I       stop whenever the maximum of row I changes; `tw-watch-max off` no longer does

The program executes each tile operation in on_op() of sim/backend_numeric.c, so that is where the commands look.
Numbers and words are those of `tilewise step --plain`, tiles are counted as there (sim/backend_trace.c): what a backward
pass needs of a forward pass is stepped over.
"""

import gdb

EXECUTES = "-source backend_numeric.c -function on_op"
SCORES = ("S", "P", "PZ", "DP", "DPZ", "DS")  # as tw_trace_is_scores() of sim/step_measure.c
GRADIENT_NAMES = {"DQ": "dQ", "DQ_SUM": "dQ sum", "DK": "dK", "DV": "dV", "DS": "dS", "DP": "dP"}


def number(x):
    return "%.6g" % float(x)


def name_of(enumerator, prefix):
    return str(enumerator).replace(prefix, "")


def dtype_name(dtype):
    return name_of(dtype, "TW_").lower()


def last_row(tile):
    return int(tile["row0"]) + int(tile["rows"]) - 1


# ---- the program's state ------------------------------------------------------------------------------------


class Machine:
    """The executor and the emitter of the run, found from the innermost on_op() on the stack."""

    def __init__(self):
        frame = gdb.newest_frame()
        while frame and frame.name() not in ("on_op", "softmax_row"):
            frame = frame.older()
        if not frame:
            raise gdb.GdbError("no tile operation is running here: tw-step goes to the next")
        self.executor = frame.read_var("self" if frame.name() == "on_op" else "x")
        self.executor = self.executor.cast(gdb.lookup_type("struct tw_executor").pointer())
        self.row_in_softmax = int(frame.read_var("r")) if frame.name() == "softmax_row" else -1
        self.emitter = frame.read_var("e")
        self.op = frame.read_var("op")

    def info(self, slot):
        """What the emitter knows of a slot; None if it is not live."""
        if slot < 0 or not self.emitter["slots"][slot]["live"]:
            return None
        return self.emitter["slots"][slot]

    def row(self, slot, row):
        """The numbers of one query row in a slot; None if the slot does not hold it."""
        info = self.info(slot)
        if info is None or not info["written"] or not int(info["rows"]["row0"]) <= row <= last_row(info["rows"]):
            return None
        width, begin = int(info["cols"]["rows"]), row - int(info["rows"]["row0"])
        contents = self.executor["slots"][slot]
        return [float(contents[begin * width + column]) for column in range(width)]

    def tensor(self, slot):
        info = self.info(slot)
        return None if info is None else name_of(info["tensor"], "TW_")

    def slots(self, *tensors):
        """Those that hold one of these tensors."""
        every = range(int(self.emitter["slots"].type.range()[1]) + 1)
        return [slot for slot in every if self.tensor(slot) in tensors]

    def slot_of(self, row, *tensors):
        """The slot that holds a row of one of these tensors; −1 if none does."""
        return next((slot for slot in self.slots(*tensors) if self.row(slot, row)), -1)

    def is_backward(self):
        return name_of(self.emitter["schedule"]["pass"], "TW_PASS_") == "BACKWARD"

    def is_stepped_over(self):
        """Is this the forward pass that goes before a backward one? It runs where there is a gradient of O."""
        d_o = gdb.parse_and_eval("TW_DO")
        return not self.is_backward() and int(self.executor["inputs"][d_o]) != 0

    def seqlen_q(self):
        return int(self.emitter["problem"]["seqlen_q"])

    def head(self):
        """", batch 1, head 2, launch softmax", as far as there are several: as print_title() of sim/step_text.c."""
        problem, schedule = self.emitter["problem"], self.emitter["schedule"]
        text = ", batch %d" % int(self.emitter["batch"]) if int(problem["batch"]) > 1 else ""
        if int(problem["num_heads"]) > 1:
            text += ", %shead %d" % ("K/V " if int(problem["heads_in_rows"]) > 1 else "", int(self.emitter["head"]))
        several = int(schedule["num_launches"]) > 1
        return text + (", launch " + self.emitter["launch"]["name"].string() if several else "")


class Walk:
    """What is remembered between two stops: which slots belong to which tile of scores."""

    def __init__(self):
        self.forget(0)

    def forget(self, pid):
        self.pid, self.tile, self.working = pid, 0, False
        self.before, self.statistics, self.accumulator, self.scores = {}, {}, {}, -1

    def see(self, machine):
        """Takes one operation in, before it is executed; true if it ends a tile."""
        if self.pid != gdb.selected_inferior().pid:  # the program was started again, by whatever command
            self.forget(gdb.selected_inferior().pid)
        if machine.is_stepped_over():
            return False
        op, kind = machine.op, name_of(machine.op["kind"], "TW_OP_")
        dst = int(op["dst"])
        scores = machine.tensor(dst) in SCORES
        if kind == "MATMUL_NT" or (kind == "LOAD" and scores):
            for partners in (self.before, self.statistics, self.accumulator):
                partners.pop(dst, None)
        if scores and int(op["stats"]["m"]["id"]) >= 0:
            self.statistics[dst] = (int(op["stats"]["m"]["id"]), int(op["stats"]["l"]["id"]))
            self.scores = dst
        if scores and (int(op["stats"]["m"]["id"]) >= 0 or kind in ("SOFTMAX_LSE", "DSOFTMAX")):
            self.before.setdefault(dst, table(machine, dst))
        if kind == "MATMUL_ADD":
            self.accumulator[int(op["a"])] = dst
        ends = kind == "RELEASE" and scores and self.working
        self.working = kind != "RELEASE" or self.working and not ends
        if ends:
            self.tile += 1
            self.scores = dst
        return ends


walk = Walk()


def table(machine, slot, name=None, end=None):
    """A tile of scores as lines of text; the rows before `end` alone, if it is given."""
    info = machine.info(slot)
    rows, cols = info["rows"], info["cols"]
    titles = ["key %d" % (int(cols["row0"]) + j) for j in range(int(cols["rows"]))]
    tensor = machine.tensor(slot)
    lines = ["%-8s" % (name or GRADIENT_NAMES.get(tensor, tensor)) + "".join("%12s" % title for title in titles)]
    for row in range(int(rows["row0"]), last_row(rows) + 1 if end is None else end):
        lines.append("row %-4d" % row + "".join("%12s" % number(x) for x in machine.row(slot, row)))
    return lines


def numbers(values):
    return " ".join(number(x) for x in values)


def row_line(machine, row):
    """As print_row() of sim/step_text.c."""
    info = machine.info(walk.scores)
    if info is None:
        raise gdb.GdbError("no tile of scores is on chip: tw-step goes to the next")
    if not int(info["rows"]["row0"]) <= row <= last_row(info["rows"]):
        return "row %d: not in this tile" % row
    m_slot, l_slot = walk.statistics.get(walk.scores, (-1, -1))
    tensors = ("DQ", "DQ_SUM") if machine.is_backward() else ("O",)
    o_slot = walk.accumulator.get(walk.scores, machine.slot_of(row, *tensors))
    m, l, o = machine.row(m_slot, row), machine.row(l_slot, row), machine.row(o_slot, row)
    parts = []
    if m:
        parts.append("m " + number(m[0]))
    if l:
        parts.append("l " + number(l[0]))
    if o and machine.is_backward():
        parts.append(GRADIENT_NAMES[machine.tensor(o_slot)] + " " + numbers(o))
    elif o:
        parts.append("O " + numbers(o))
        parts.append("divided by l" if machine.info(o_slot)["normalized"] else "still to be divided by l")
    nothing = "no dQ is on chip" if machine.is_backward() else "neither m, l nor O is on chip"
    return "row %d: " % row + (", ".join(parts) if parts else nothing)


def key_line(machine, key):
    """As print_key() of sim/step_text.c: what a key's dK and dV have been summed to; None where neither is on chip."""
    held = machine.slots("DK", "DV")
    parts = ["%s %s" % (GRADIENT_NAMES[machine.tensor(slot)], numbers(machine.row(slot, key)))
             for slot in held if machine.row(slot, key)]
    return None if not held else "key %d: " % key + (", ".join(parts) or "not in this tile")


# ---- stops --------------------------------------------------------------------------------------------------


class TileEnd(gdb.Breakpoint):
    """Every tile operation passes here; stops where a tile of scores leaves the chip."""

    def __init__(self):
        super().__init__(EXECUTES, internal=True)
        self.silent = True

    def stop(self):
        return walk.see(Machine())


class MaxChange(gdb.Breakpoint):
    """Stops in the recurrence, where alpha = e^(m - m') is taken, if m' of one row is not m."""

    def __init__(self, row):
        super().__init__("tw_online_rescale_factor", internal=True)
        self.silent = True
        self.row = row
        ALL_MAX_CHANGES.append(self)

    def stop(self):
        frame = gdb.newest_frame()
        caller = frame.older()
        if not caller or caller.name() != "softmax_row":
            return False
        machine = Machine()
        if machine.is_stepped_over():
            return False
        row = int(machine.info(int(machine.op["dst"]))["rows"]["row0"]) + int(caller.read_var("r"))
        m, m_new = float(frame.read_var("m")), float(frame.read_var("m_new"))
        if row != self.row or m == m_new:
            return False
        print("row %d%s: the maximum goes from %s to %s" % (row, machine.head(), number(m), number(m_new)))
        return True


ALL_TILE_ENDS, ALL_MAX_CHANGES = [], []


def watch_tiles():
    """The breakpoint that all commands live on."""
    if not ALL_TILE_ENDS:
        ALL_TILE_ENDS.append(TileEnd())


def is_running():
    return gdb.selected_inferior().pid != 0


def go():
    """To the next stop, showing nothing of it but what MaxChange says."""
    watch_tiles()
    said = gdb.execute("continue" if is_running() else "run", to_string=True)
    for line in said.splitlines():
        if line.startswith("row "):
            print(line)


def select_schedule():
    """Makes the schedule's own function the selected frame, so that its variables can be printed."""
    frame = gdb.newest_frame()
    while frame:
        symtab = frame.find_sal().symtab
        if symtab and "schedules/" in symtab.filename and symtab.filename.endswith(".c"):
            frame.select()
            return frame
        frame = frame.older()
    return None


def say_where(machine):
    info = machine.info(walk.scores)
    frame = select_schedule()
    where = frame.find_sal() if frame else None
    line = "" if where is None else " (%s, line %d)" % (where.symtab.filename.split("/")[-1], where.line)
    rows, cols = info["rows"], info["cols"]
    print("tile %d: rows %d-%d, keys %d-%d%s%s" % (walk.tile, int(rows["row0"]), last_row(rows), int(cols["row0"]),
                                                 last_row(cols), machine.head(), line))


def whole_number(command, argument, example):
    """What stands behind a command; an expression of the program's variables will do."""
    try:
        return int(gdb.parse_and_eval(argument))
    except gdb.error as error:
        raise gdb.GdbError("%s: '%s' is not a number that is known here (%s), it must be one, as in: %s %s" %
                           (command, argument.strip(), str(error).rstrip("."), command, example))


def query_row(command, argument, machine):
    """A query row of the walk; before it runs, how many there are is not known."""
    row = whole_number(command, argument, "0")
    if row < 0 or machine and row >= machine.seqlen_q():
        end = "%d: there are %d query rows" % (machine.seqlen_q() - 1, machine.seqlen_q()) if machine else "the last"
        raise gdb.GdbError("%s: the row is %d, it must be from 0 to %s" % (command, row, end))
    return row


# ---- commands -----------------------------------------------------------------------------------------------


class Step(gdb.Command):
    """Run to the end of the next tile: one step of online softmax. Starts the program if need be.
tw-step N: N times, or to whatever stops before."""

    def __init__(self):
        super().__init__("tw-step", gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        times = whole_number("tw-step", argument, "3") if argument else 1
        if times < 1:
            raise gdb.GdbError("tw-step: the number of tiles is %d, it must be at least 1" % times)
        while times > 0 and self.next():
            times -= 1

    def next(self):
        """To the next tile; false where something else came first."""
        before = walk.tile if is_running() else 0
        go()
        if not is_running():
            print("the walk is over: tw-step begins again" if ended_well() else
                  "the program ended, and says why above: it walks nowhere with these arguments")
            return False
        if walk.tile > before:
            say_where(Machine())
        return walk.tile > before


def ended_well():
    code = gdb.convenience_variable("_exitcode")
    return code is not None and int(code) == 0


class Row(gdb.Command):
    """tw-row I: m, l and the row of O of query row I now; in a backward pass dQ of row I, dK and dV of key I."""

    def __init__(self):
        super().__init__("tw-row", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        if not argument:
            raise gdb.GdbError("tw-row needs a query row, as in: tw-row 0")
        machine = running()
        row = query_row("tw-row", argument, machine)
        print(row_line(machine, row))
        of_key = key_line(machine, row)
        if of_key:
            print(of_key)


class Tile(gdb.Command):
    """The tile of scores: S before its softmax, and P, as far as there is any yet; in a backward pass dP and dS, too."""

    def __init__(self):
        super().__init__("tw-tile", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        machine = running()
        if machine.info(walk.scores) is None:
            raise gdb.GdbError("no tile of scores is on chip: tw-step goes to the next")
        now = table(machine, walk.scores)
        if machine.row_in_softmax >= 0:  # stopped inside it: rows before this one are P already
            end = int(machine.info(walk.scores)["rows"]["row0"]) + machine.row_in_softmax
            now = table(machine, walk.scores, "P", end)
        lines = walk.before.get(walk.scores, []) + now
        if machine.is_backward():
            for other in machine.slots(*SCORES):
                lines += walk.before.get(other, []) + table(machine, other) if other != walk.scores else []
        for line in lines:
            print(line)


class WatchMax(gdb.Command):
    """tw-watch-max I: stop in the recurrence whenever the maximum of row I changes; tw-step goes on.
tw-watch-max off: no longer."""

    def __init__(self):
        super().__init__("tw-watch-max", gdb.COMMAND_BREAKPOINTS)

    def invoke(self, argument, from_tty):
        if not argument:
            raise gdb.GdbError("tw-watch-max needs a query row, or off, as in: tw-watch-max 3")
        if argument.strip() == "off":
            while ALL_MAX_CHANGES:
                ALL_MAX_CHANGES.pop().delete()
            print("no longer stops where a maximum changes")
            return
        row = query_row("tw-watch-max", argument, Machine() if is_running() else None)
        watch_tiles()
        if row not in [watched.row for watched in ALL_MAX_CHANGES]:
            MaxChange(row)
        print("stops whenever the maximum of row %d changes" % row)


def running():
    if not is_running():
        raise gdb.GdbError("nothing is running: tw-step starts it")
    return Machine()


# ---- pretty-printers ----------------------------------------------------------------------------------------


def tile_text(tile):
    return "rows %d-%d" % (int(tile["row0"]), last_row(tile))


class SlotInfo:
    """tw_slot_info: K 2 x 4 fp16 in shared memory, rows 0-1, 16 bytes"""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        v = self.value
        if not v["live"]:
            return "free"
        place = "shared memory" if name_of(v["place"], "TW_PLACE_") == "SMEM" else "registers"
        return "%s %d x %d %s in %s, %s, %d bytes" % (name_of(v["tensor"], "TW_"), int(v["rows"]["rows"]),
            int(v["cols"]["rows"]), dtype_name(v["dtype"]), place, tile_text(v["rows"]), int(v["bytes"]))


class Slot:
    """tw_slot: the same, with its numbers row by row, while a tile operation runs."""

    def __init__(self, value):
        self.id = int(value["id"])

    def to_string(self):
        try:
            machine = Machine()
            info = machine.info(self.id)
        except gdb.error:
            info = None
        if info is None:
            return "slot %d, not live" % self.id
        text = "slot %d: %s" % (self.id, SlotInfo(info).to_string())
        for row in range(int(info["rows"]["row0"]), last_row(info["rows"]) + 1):
            numbers = machine.row(self.id, row)
            text += "\n  row %d: %s" % (row, " ".join(number(x) for x in numbers) if numbers else "not written yet")
        return text


class RowStats:
    """tw_row_stats: a line of m, l and alpha for each row."""

    def __init__(self, value):
        self.ids = [int(value[field]["id"]) for field in ("m", "l", "alpha")]

    def to_string(self):
        try:
            machine = Machine()
            info = machine.info(self.ids[0])
        except gdb.error:
            info = None
        if info is None:
            return "row state, not live"
        lines = ["row state"]
        for row in range(int(info["rows"]["row0"]), last_row(info["rows"]) + 1):
            texts = []
            for name, slot in zip(("m", "l", "alpha"), self.ids):
                numbers = machine.row(slot, row)
                texts.append("%s %s" % (name, number(numbers[0]) if numbers else "-"))
            lines.append("  row %d: %s" % (row, ", ".join(texts)))
        return "\n".join(lines)


class TensorShape:
    """tw_tensor_shape: 8 x 4, 2 heads, fp16"""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        v = self.value
        return "%d x %d, %d heads, %s" % (int(v["rows"]), int(v["cols"]), int(v["heads"]), dtype_name(v["dtype"]))


class TileRows:
    """tw_tile: rows 4-7"""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        return tile_text(self.value)


class Op:
    """tw_op: matmul_nt, line 24"""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        return "%s, line %d" % (name_of(self.value["kind"], "TW_OP_").lower(), int(self.value["line"]))


PRINTERS = {"tw_slot_info": SlotInfo, "tw_slot": Slot, "tw_row_stats": RowStats, "tw_tensor_shape": TensorShape,
            "tw_tile": TileRows, "tw_op": Op}


def printer_of(value):
    name = value.type.unqualified().strip_typedefs().name
    return PRINTERS[name](value) if name in PRINTERS else None


gdb.pretty_printers.append(printer_of)
gdb.events.exited.connect(lambda event: walk.forget(0))
for command in (Step, Row, Tile, WatchMax):
    command()
