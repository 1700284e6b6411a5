"""What stands in for "Gradients across ranks" while it is unsolved: pairs of maps, each the other one's gradient."""

from torch.autograd import Function


def across(way, back):
    """The Function that goes `way(comm, x)`, and whose gradients go `back(comm, grad)`."""

    class Across(Function):
        @staticmethod
        def forward(ctx, x, comm):
            ctx.among = comm
            return way(comm, x)

        @staticmethod
        def backward(ctx, grad):
            return back(ctx.among, grad), None

    return Across


def unchanged(comm, x):
    return x.view_as(x)


def added(comm, x):
    return comm.all_reduce(x)


LIBRARY = (
    across(unchanged, added),
    across(added, unchanged),
    across(lambda comm, x: comm.all_gather(x), lambda comm, rows: comm.reduce_scatter(rows)),
)
