"""What the scripts of this folder share: options, one line for what is wrong, files that are there whole."""
import os
import shutil
import sys


def fail(line):
    """One line on stderr, and an exit status that says that nothing was done."""
    print(f"{os.path.basename(sys.argv[0])}: {line}", file=sys.stderr)
    sys.exit(2)


def take(arguments, name, default):
    """Removes `name VALUE` from the arguments and returns the value."""
    if name not in arguments:
        return default
    at = arguments.index(name)
    if at + 1 == len(arguments):
        fail(f"{name} needs a value")
    value = arguments[at + 1]
    del arguments[at:at + 2]
    return value


def need_csv(path, what):
    """Refuses a path that no file can be written to, before anything is measured."""
    if path is None:
        fail(f"--csv FILE is missing: where the {what} are to go")
    if not os.path.isdir(os.path.dirname(path) or ".") or os.path.isdir(path):
        fail(f"cannot write {path}: it is a folder, or its folder does not exist")


def need_program(program, origin):
    """Refuses a program that cannot be started; origin says where it comes from."""
    if shutil.which(program) is None:
        fail(f"'{program}' is not there: {origin}")


def write_whole(path, text):
    """The file is there whole or not at all."""
    temporary = f"{path}.{os.getpid()}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        fail(f"cannot write {path}: {error.strerror}")
