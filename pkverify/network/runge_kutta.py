"""Explicit Runge-Kutta methods of Dormand and Prince over one flat state vector: 5(4), and 8(5,3) in twelve stages.

The coefficients are facts from the literature: J. R. Dormand, P. J. Prince, "A family of embedded Runge-Kutta
formulae", J. Comput. Appl. Math. 6 (1980) 19-26, and E. Hairer, S. P. Norsett, G. Wanner, "Solving Ordinary
Differential Equations I", 2nd edition, Springer 1993, sections II.4 to II.6 (the method of
order 8, its error estimates of orders 5 and 3, and both continuous extensions). The tests check their order conditions.

Stages are the rows of one contiguous matrix ``[s, d]``, so that a combination of stages is one product of a matrix
and a vector.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Field = Callable[[Tensor, Tensor], None]
"""The right side: called with the state ``[d]`` and the row ``[d]`` that the slope is written into."""


def _row(width: int, **at: float) -> tuple[float, ...]:
    """A row of coefficients of which few are not zero; ``k3=...`` is the coefficient of stage 3, from 0."""
    row = [0.0] * width
    for name, value in at.items():
        row[int(name[1:])] = value
    return tuple(row)


@dataclass(frozen=True)
class Tableau:
    """An embedded explicit Runge-Kutta method with first-same-as-last and a continuous extension.

    Attributes:
        name: Its name, for messages.
        order: Order of the step that is taken.
        dense_order: Order of the continuous extension.
        nodes: ``c``, one for each stage; the last two stages of a step may share ``c = 1``.
        stages: Rows ``a``: the state of stage ``i`` is ``w + h * stages[i] @ slopes[:i]``. The last row is ``b``: its
            state is the step's end, and its slope is the first of the next step.
        errors: One or two rows of error weights over the stages of a step, the finest first.
        extra_stages: Further rows, evaluated for the continuous extension only.
        dense: Rows over all stages: what the extension adds to the cubic Hermite interpolant.
        damping: ``beta`` of the step control: how much the error of the step before counts.

    Example:
        >>> [(t.name, len(t.stages), len(t.extra_stages)) for t in TABLEAUS.values()]
        [('Dormand-Prince 5(4)', 7, 0), ('Dormand-Prince 8(5,3)', 13, 3)]
    """

    name: str
    order: int
    dense_order: int
    nodes: tuple[float, ...]
    stages: tuple[tuple[float, ...], ...]
    errors: tuple[tuple[float, ...], ...]
    extra_stages: tuple[tuple[float, ...], ...]
    dense: tuple[tuple[float, ...], ...]
    damping: float

    @property
    def stage_count(self) -> int:
        """Stages of a step, the one at its end included."""
        return len(self.stages)

    @property
    def row_count(self) -> int:
        """Rows of the matrix of slopes: those of a step and those of the continuous extension."""
        return len(self.stages) + len(self.extra_stages)

    @property
    def stability_limit(self) -> float:
        """How far the region of stability reaches along the negative real axis, rounded down."""
        return 3.3 if self.order == 5 else 6.3

    def steps_for_stability(self, largest_eigenvalue: float, horizon: float) -> int:
        """Steps that stability alone asks for, whatever the tolerance, for a linear flow with such an eigenvalue."""
        return math.ceil(max(largest_eigenvalue, 0.0) * horizon / self.stability_limit)


_B5 = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
_B4 = (5179 / 57600, 0.0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40)

DORMAND_PRINCE_5 = Tableau(
    name="Dormand-Prince 5(4)",
    order=5,
    dense_order=4,
    nodes=(0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0),
    stages=(
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        _B5,
    ),
    errors=(tuple(b - e for b, e in zip((*_B5, 0.0), _B4, strict=True)),),
    extra_stages=(),
    dense=(
        (
            -12715105075 / 11282082432, 0.0, 87487479700 / 32700410799, -10690763975 / 1880347072,
            701980252875 / 199316789632, -1453857185 / 822651844, 69997945 / 29380423,
        ),
    ),
    damping=0.04,
)  # fmt: skip

DORMAND_PRINCE_8 = Tableau(
    name="Dormand-Prince 8(5,3)",
    order=8,
    dense_order=7,
    nodes=(
        0.0, 0.05260015195876773, 0.0789002279381516, 0.1183503419072274, 0.2816496580927726, 1 / 3, 1 / 4, 4 / 13,
        0.6512820512820513, 3 / 5, 6 / 7, 1.0, 1.0, 0.1, 0.2, 7 / 9,
    ),
    stages=(
        (),
        (0.05260015195876773,),
        (0.0197250569845379, 0.0591751709536137),
        _row(3, k0=0.02958758547680685, k2=0.08876275643042054),
        _row(4, k0=0.2413651341592667, k2=-0.8845494793282861, k3=0.924834003261792),
        _row(5, k0=1 / 27, k3=0.17082860872947386, k4=0.12546768756682242),
        _row(6, k0=0.037109375, k3=0.17025221101954405, k4=0.06021653898045596, k5=-0.017578125),
        _row(
            7, k0=0.03709200011850479, k3=0.17038392571223998, k4=0.10726203044637328, k5=-0.015319437748624402,
            k6=0.008273789163814023,
        ),
        _row(
            8, k0=0.6241109587160757, k3=-3.3608926294469414, k4=-0.868219346841726, k5=27.59209969944671,
            k6=20.154067550477894, k7=-43.48988418106996,
        ),
        _row(
            9, k0=0.47766253643826434, k3=-2.4881146199716677, k4=-0.590290826836843, k5=21.230051448181193,
            k6=15.279233632882423, k7=-33.28821096898486, k8=-0.020331201708508627,
        ),
        _row(
            10, k0=-0.9371424300859873, k3=5.186372428844064, k4=1.0914373489967295, k5=-8.149787010746927,
            k6=-18.52006565999696, k7=22.739487099350505, k8=2.4936055526796523, k9=-3.0467644718982196,
        ),
        _row(
            11, k0=2.273310147516538, k3=-10.53449546673725, k4=-2.0008720582248625, k5=-17.9589318631188,
            k6=27.94888452941996, k7=-2.8589982771350235, k8=-8.87285693353063, k9=12.360567175794303,
            k10=0.6433927460157636,
        ),
        _row(
            12, k0=0.054293734116568765, k5=4.450312892752409, k6=1.8915178993145003, k7=-5.801203960010585,
            k8=0.3111643669578199, k9=-0.1521609496625161, k10=0.20136540080403034, k11=0.04471061572777259,
        ),
    ),
    errors=(
        _row(
            13, k0=0.01312004499419488, k5=-1.2251564463762044, k6=-0.4957589496572502, k7=1.6643771824549864,
            k8=-0.35032884874997366, k9=0.3341791187130175, k10=0.08192320648511571, k11=-0.022355307863886294,
        ),
        _row(
            13, k0=-0.18980075407240762, k5=4.450312892752409, k6=1.8915178993145003, k7=-5.801203960010585,
            k8=-0.4226823213237919, k9=-0.1521609496625161, k10=0.20136540080403034, k11=0.02265179219836082,
        ),
    ),
    extra_stages=(
        _row(
            13, k0=0.056167502283047954, k6=0.25350021021662483, k7=-0.2462390374708025, k8=-0.12419142326381637,
            k9=0.15329179827876568, k10=0.00820105229563469, k11=0.007567897660545699, k12=-0.008298,
        ),
        _row(
            14, k0=0.03183464816350214, k5=0.028300909672366776, k6=0.053541988307438566, k7=-0.05492374857139099,
            k10=-0.00010834732869724932, k11=0.0003825710908356584, k12=-0.00034046500868740456,
            k13=0.1413124436746325,
        ),
        _row(
            15, k0=-0.42889630158379194, k5=-4.697621415361164, k6=7.683421196062599, k7=4.06898981839711,
            k8=0.3567271874552811, k12=-0.0013990241651590145, k13=2.9475147891527724, k14=-9.15095847217987,
        ),
    ),
    dense=(
        _row(
            16, k0=-8.428938276109013, k5=0.5667149535193777, k6=-3.0689499459498917, k7=2.38466765651207,
            k8=2.117034582445028, k9=-0.871391583777973, k10=2.2404374302607883, k11=0.6315787787694688,
            k12=-0.08899033645133331, k13=18.148505520854727, k14=-9.194632392478356, k15=-4.436036387594894,
        ),
        _row(
            16, k0=10.427508642579134, k5=242.28349177525817, k6=165.20045171727028, k7=-374.5467547226902,
            k8=-22.113666853125306, k9=7.733432668472264, k10=-30.674084731089398, k11=-9.332130526430229,
            k12=15.697238121770845, k13=-31.139403219565178, k14=-9.35292435884448, k15=35.81684148639408,
        ),
        _row(
            16, k0=19.985053242002433, k5=-387.0373087493518, k6=-189.17813819516758, k7=527.8081592054236,
            k8=-11.57390253995963, k9=6.8812326946963, k10=-1.0006050966910838, k11=0.7777137798053443,
            k12=-2.778205752353508, k13=-60.19669523126412, k14=84.32040550667716, k15=11.99229113618279,
        ),
        _row(
            16, k0=-25.69393346270375, k5=-154.18974869023643, k6=-231.5293791760455, k7=357.6391179106141,
            k8=93.40532418362432, k9=-37.45832313645163, k10=104.0996495089623, k11=29.8402934266605,
            k12=-43.53345659001114, k13=96.32455395918828, k14=-39.17726167561544, k15=-149.72683625798564,
        ),
    ),
    damping=0.025,
)  # fmt: skip

TABLEAUS = {5: DORMAND_PRINCE_5, 8: DORMAND_PRINCE_8}


class Stepper:
    """Takes steps of one method; owns the matrix of slopes and the coefficients on the state's device.

    Args:
        tableau: The method.
        field: The right side of the flow.
        state: A state ``[d]``; only its size, dtype and device are used.

    Example:
        >>> def decay(w, out):
        ...     torch.neg(w, out=out)
        >>> w = torch.ones(1, dtype=torch.float64)
        >>> stepper = Stepper(TABLEAUS[8], decay, w)
        >>> stepper.start(w)
        >>> round(stepper.step(w, 0.5).item(), 9)  # exp(-1/2)
        0.60653066
    """

    def __init__(self, tableau: Tableau, field: Field, state: Tensor) -> None:
        self.tableau = tableau
        self.evaluations = 0
        self._field = field
        self.slopes = torch.zeros(tableau.row_count, state.numel(), dtype=state.dtype, device=state.device)
        rows = (*tableau.stages, *tableau.extra_stages)
        self._rows = [torch.tensor(row, dtype=state.dtype, device=state.device) for row in rows]
        self._errors = torch.tensor(tableau.errors, dtype=state.dtype, device=state.device)
        self._point = torch.empty_like(state)

    def start(self, state: Tensor) -> None:
        """Evaluate the slope at the state that the next step starts from."""
        self._evaluate(state, 0)

    def advance(self) -> None:
        """Take the slope at the end of the step for the first one of the next."""
        self.slopes[0].copy_(self.slopes[self.tableau.stage_count - 1])

    def step(self, state: Tensor, length: float) -> Tensor:
        """The state ``[d]`` after a step; the slope at its end stands in ``slopes[stage_count - 1]``."""
        last = self.tableau.stage_count - 1
        for stage in range(1, last):
            self._evaluate(self._combine(state, length, stage, self._point), stage)
        end = self._combine(state, length, last, torch.empty_like(state))
        self._evaluate(end, last)
        return end

    def extend(self, state: Tensor, length: float) -> None:
        """Evaluate the stages of the continuous extension, for the step just taken from ``state``."""
        for stage in range(self.tableau.stage_count, self.tableau.row_count):
            self._evaluate(self._combine(state, length, stage, self._point), stage)

    def error_norm(self, state: Tensor, end: Tensor, length: float, rtol: float, atol: float) -> float:
        """The local error relative to ``atol + rtol |w|``, in the Euclidean norm: a step is good up to 1.

        It is this norm that bounds what an error of the weights does to an output: ``|grad f| |error|``.
        The two estimates of the method of order 8 are combined as its authors propose: the result is of order 8 for a
        smooth flow, and falls back to the coarser one where the finer one vanishes by chance.
        """
        scale = atol + rtol * max(float(state.norm()), float(end.norm()))
        sizes = (self._errors @ self.slopes[: self.tableau.stage_count]).norm(dim=1).tolist()
        fine, coarse = sizes[0] / scale, sizes[-1] / scale
        if len(sizes) == 1 or fine == 0.0:
            return abs(length) * fine
        return abs(length) * fine / math.sqrt(1 + 0.01 * (coarse / fine) ** 2)

    def _combine(self, state: Tensor, length: float, stage: int, out: Tensor) -> Tensor:
        return torch.addmv(state, self.slopes[:stage].t(), self._rows[stage], alpha=length, out=out)

    def _evaluate(self, state: Tensor, stage: int) -> None:
        self._field(state, self.slopes[stage])
        self.evaluations += 1
