"""Ground of towns that is no building: streets, railways, parking, pitches, yards, empty lots."""

from dataclasses import replace
from itertools import pairwise
from math import atan2, pi

from geoconvnext.data.synth.canvas import Material, Point
from geoconvnext.data.synth.dice import Dice
from geoconvnext.data.synth.land import field, park, thicket, water, wood
from geoconvnext.data.synth.plan import Pose, Rect, rect_points, split_rect
from geoconvnext.data.synth.world import WHITE, World


def street(world: World, dice: Dice, start: Point, end: Point, width: float, *, busy: float) -> None:
    """Mark lanes and set cars on a street-space street."""
    (u0, v0), (u1, v1) = start, end
    along = abs(u1 - u0) > abs(v1 - v0)
    length = abs(u1 - u0) + abs(v1 - v0)
    step, dashed = dice.pick(((6.0, True), (20.0, False), (9.0, True)))
    marked = width > 6.5 and dice.chance(0.75)
    tone = replace(WHITE, color=dice.pick(((214, 213, 206), (206, 176, 92), (180, 178, 170))))
    at = 0.0
    while at < length - step and marked:
        p = world.frame.point(u0 + at, v0) if along else world.frame.point(u0, v0 + at)
        if world.canvas.sees(*p, 25):
            reach = at + (step * 0.45 if dashed else step)
            q = world.frame.point(u0 + reach, v0) if along else world.frame.point(u0, v0 + reach)
            world.canvas.line(p, q, 0.16, tone)
        at += step
    for _ in range(int(length / 12 * busy * dice.random() * 2)):
        at, lane = dice.uniform(0, length), dice.pick((-1, 1)) * width * dice.pick((0.2, 0.4))
        spot = (u0 + at, v0 + lane, 0.0) if along else (u0 + lane, v0 + at, pi / 2)
        pose = world.frame.pose(*spot)
        if world.canvas.sees(pose.x, pose.y, 8):
            world.car(dice, pose, long=dice.uniform(7, 13) if dice.chance(0.06) else None)


def railway(world: World, dice: Dice, start: Point, end: Point, width: float) -> None:
    """Lay ballast and rails along a street-space corridor."""
    (u0, v0), (u1, v1) = start, end
    along = abs(u1 - u0) > abs(v1 - v0)
    half = width / 2
    rect = (u0, v0 - half, u1, v0 + half) if along else (u0 - half, v0, u0 + half, v1)
    world.ground(rect, Material(dice.vary((140, 130, 118), 0.12), (104, 94, 84), 0.4, pink=0.08, grain=0.1))
    rail = Material((96, 88, 84), grain=0.0)
    sleeper = Material((100, 92, 84), pink=0.04, stripe=0.65, amplitude=0.3, duty=0.4)
    track = -half + 2.5
    while track < half - 2:
        for at in range(0, int(abs(u1 - u0) + abs(v1 - v0)), 20):
            a, b = (
                ((u0 + at, v0 + track), (u0 + at + 20, v0 + track))
                if along
                else ((u0 + track, v0 + at), (u0 + track, v0 + at + 20))
            )
            p, q = world.frame.point(*a), world.frame.point(*b)
            if world.canvas.sees(*p, 25):
                world.canvas.line(p, q, 2.5, replace(sleeper, angle=_heading(p, q)))
                for side in (-0.72, 0.72):
                    nx, ny = (q[1] - p[1]) / 20 * side, -(q[0] - p[0]) / 20 * side
                    world.canvas.line((p[0] + nx, p[1] + ny), (q[0] + nx, q[1] + ny), 0.18, rail)
        track += dice.uniform(4, 6)


def _heading(p: Point, q: Point) -> float:
    return atan2(q[1] - p[1], q[0] - p[0])


def parking(world: World, dice: Dice, pose: Pose, rect: Rect, *, full: float) -> None:
    """Cover a rectangle with rows of stalls, lines and cars."""
    x0, y0, x1, y1 = rect
    ground = dice.pick(
        (world.palette.asphalt, world.palette.asphalt, world.palette.concrete, world.palette.gravel)
    )
    world.patch(pose, rect, replace(ground, color=dice.vary(ground.color, 0.1, 0.01)))
    stall = dice.uniform(2.4, 2.9)
    marked = dice.chance(0.75)
    v = y0 + dice.uniform(0, 2)
    while v + 5 < y1:
        u = x0 + 1
        while u + stall < x1 - 1:
            if marked:
                world.canvas.line(pose.point(u, v), pose.point(u, v + 5), 0.12, WHITE, opacity=0.7)
            if dice.chance(full):
                world.car(dice, pose.shifted(u + stall / 2, v + 2.5 + dice.uniform(-0.3, 0.3), pi / 2))
            u += stall
        v += dice.pick((5.1, 11.5)) if v > y0 + 3 else 11.5
        if dice.chance(0.2):
            for _ in range(3):
                world.tree(dice, *pose.point(dice.uniform(x0, x1), v - 0.5), 1.2, 2.5)


def pitch(world: World, dice: Dice, rect: Rect) -> None:
    """Make a sports pitch or courts: rectangles with lines that are no buildings."""
    world.ground(rect, world.palette.lawn)
    pose = world.frame.pose((rect[0] + rect[2]) / 2, (rect[1] + rect[3]) / 2)
    wide, deep = rect[2] - rect[0] - 6, rect[3] - rect[1] - 6
    tennis = dice.chance(0.5)
    unit = (24.0, 11.0) if tennis else (dice.uniform(40, 95), dice.uniform(25, 60))
    tone = (
        dice.pick(((66, 104, 130), (150, 84, 66), (86, 118, 84)))
        if tennis
        else dice.pick(((92, 122, 66), (150, 128, 96), (74, 112, 70)))
    )
    look = Material(
        dice.vary(tone, 0.12),
        pink=0.05,
        stripe=0.0 if tennis else 10.0,
        amplitude=0.05,
        duty=0.5,
        angle=pose.angle,
    )
    apron = replace(look, color=dice.vary((92, 116, 88), 0.2), stripe=0.0)
    u = -wide / 2
    while u + unit[0] < wide / 2:
        v = -deep / 2
        while v + unit[1] < deep / 2:
            rim = 3.0 if tennis else 0.5
            world.patch(pose, (u - rim, v - rim, u + unit[0] + rim, v + unit[1] + rim), apron)
            inside = (u, v, u + unit[0], v + unit[1])
            world.patch(pose, inside, look)
            ring = pose.points([*rect_points(inside), (u, v)])
            for p, q in pairwise(ring):
                world.canvas.line(p, q, 0.12, WHITE)
            world.canvas.line(
                pose.point(u + unit[0] / 2, v), pose.point(u + unit[0] / 2, v + unit[1]), 0.12, WHITE
            )
            v += unit[1] + 8
        u += unit[0] + 9
    world.grove(dice, rect, 0.03)


def yard(world: World, dice: Dice, pose: Pose, rect: Rect) -> None:
    """Fill a storage yard with confusers: containers, lorries, heaps, crates, tarpaulins."""
    palette = world.palette
    look = dice.pick((palette.concrete, palette.gravel, palette.soil, palette.asphalt))
    world.patch(pose, rect, replace(look, color=dice.vary(look.color, 0.1)))
    x0, y0, x1, y1 = rect
    if x1 - x0 < 14 or y1 - y0 < 14:
        return
    for _ in range(int((x1 - x0) * (y1 - y0) * dice.uniform(0, 0.012))):
        spot = pose.shifted(
            dice.uniform(x0 + 6, x1 - 6),
            dice.uniform(y0 + 6, y1 - 6),
            dice.pick((0.0, 0.0, pi / 2, dice.uniform(0, 3))),
        )
        kind = dice.below(4)
        if kind == 0:
            color = dice.pick(
                ((150, 62, 48), (52, 82, 124), (66, 98, 76), (176, 130, 64), (190, 190, 188), (96, 98, 102))
            )
            for k in range(1 + dice.below(4)):
                box = Material(dice.vary(color, 0.2), stripe=0.6, angle=spot.angle, amplitude=0.05)
                world.stand(spot, (-6 if dice.chance(0.5) else -3, k * 2.6 - 1.2, 6, k * 2.6 + 1.2), box, 2.6)
        elif kind == 1:
            world.car(dice, spot, long=dice.uniform(6.5, 16))
        elif kind == 2:
            half = dice.uniform(0.5, 2.5)
            color = dice.pick(((60, 90, 150), (150, 140, 120), (170, 130, 90), (90, 88, 84), (210, 206, 200)))
            world.stand(
                spot,
                (-half, -half * 0.6, half, half * 0.6),
                Material(dice.vary(color, 0.2), pink=0.1),
                dice.uniform(0.3, 1.5),
            )
        else:
            x, y = spot.x, spot.y
            world.canvas.tree(
                x,
                y,
                dice.uniform(1.5, 4),
                dice.vary(dice.pick((palette.soil.color, palette.gravel.color)), 0.1),
                tall=1.5,
            )


def ruin(world: World, dice: Dice, pose: Pose) -> None:
    """Walls of rooms without a roof: building sites and foundations, which are no buildings yet."""
    wide, deep = dice.uniform(5, 13), dice.uniform(5, 10)
    look = Material(dice.vary((168, 160, 146), 0.15), pink=0.08)
    tall, thick = dice.uniform(0.3, 2.4), dice.uniform(0.2, 0.35)
    floor = dice.pick((world.palette.soil, world.palette.lawn, world.palette.gravel))
    world.patch(pose, (-wide / 2, -deep / 2, wide / 2, deep / 2), floor)
    rooms_u, rooms_v = 1 + dice.below(4), 1 + dice.below(3)
    for k in range(rooms_u + 1):
        u = -wide / 2 + wide * k / rooms_u
        world.wall(pose, (u, -deep / 2), (u, deep / 2), look, thick=thick, tall=tall)
    for k in range(rooms_v + 1):
        v = -deep / 2 + deep * k / rooms_v
        world.wall(pose, (-wide / 2, v), (wide / 2, v), look, thick=thick, tall=tall)


def mixed_use(world: World, dice: Dice, rect: Rect) -> None:
    """Divide a block without houses into lots, and give each lot a use of its own."""
    lots, _ = split_rect(
        dice, rect, (dice.uniform(40, 110), dice.uniform(35, 90)), dice.pick((0.3, 1.0, 3.0))
    )
    world.ground(
        rect,
        dice.pick((world.palette.soil, world.palette.lawn, world.palette.meadow, world.palette.concrete)),
    )
    town = (park, wood, field, pitch, vacant, vacant, lot, lot, water)
    land = (park, wood, field, field, field, wood, vacant, water, vacant)
    uses = land if world.rural else town
    main = dice.pick(uses)
    for part in lots:
        use = main if dice.chance(0.5) else dice.pick(uses)
        use(world, dice, part)
        if use is not water:
            world.wear(dice, part, (part[2] - part[0]) * (part[3] - part[1]) * dice.uniform(0, 0.012))


def lot(world: World, dice: Dice, rect: Rect) -> None:
    """Make a whole lot of parking or storage."""
    pose = world.frame.pose((rect[0] + rect[2]) / 2, (rect[1] + rect[3]) / 2)
    half_w, half_d = (rect[2] - rect[0]) / 2, (rect[3] - rect[1]) / 2
    box = (-half_w, -half_d, half_w, half_d)
    if dice.chance(0.6):
        parking(world, dice, pose, box, full=dice.random())
    else:
        yard(world, dice, pose, box)


def vacant(world: World, dice: Dice, rect: Rect) -> None:
    """Leave a lot empty: bare, overgrown or paved; the rectangle of a building without one."""
    palette = world.palette
    looks = (palette.soil, palette.meadow, palette.lawn, palette.concrete, palette.asphalt, palette.gravel)
    look = dice.pick(looks[: 3 if world.rural else 6])
    world.ground(rect, replace(look, color=dice.vary(look.color, 0.12), share=dice.random()))
    if dice.chance(0.5):
        world.grove(dice, rect, dice.uniform(0.02, 0.25), 0.8, 3.5)
    if dice.chance(0.4):
        thicket(world, dice, rect, dice.uniform(0.02, 0.4))
