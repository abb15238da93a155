"""Counts instructions, which noise does not touch: in user space, of a server and all its child processes."""

import re


def instructions(folder, times, run, *options):
    """What one of so many doings costs. run(command, count) does it so often, with a server that is run by `command`.

    It is done twice, the second time twice as often: the difference is what the doing costs, and nothing of the start.
    """
    totals = []
    for factor in (1, 2):
        out = folder / f"callgrind{factor}"
        out.mkdir(parents=True)
        out.chmod(0o777)  # children are another user's
        run(["valgrind", "--tool=callgrind", "--quiet", f"--callgrind-out-file={out}/%p", *options], factor * times)
        totals.append(sum(int(text) for file in out.iterdir()
                          for text in re.findall(r"^(?:summary|totals): (\d+)", file.read_text(), re.M)[:1]))
    return (totals[1] - totals[0]) / times
