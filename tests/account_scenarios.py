"""Small clusters in which each rule of the Account protocol matters, to be explored completely.

Data only. They are the scenarios in which the protocol's rules were found.
"""

from controller.accounts.entries import Action
from tests.account_world import Deed, Scenario, Wish

X, Y = 0, 1
_CREATE, _UPDATE, _DELETE, _SCALE = Action.CREATE, Action.UPDATE, Action.DELETE, Action.VALUE

SCENARIOS: dict[str, Scenario] = {
    "updates of one object race with a create": Scenario(
        3, ((X, 1, True),), (Wish(_UPDATE, X, 2), Wish(_UPDATE, X, 3), Wish(_CREATE, Y, 1))
    ),
    "a conflict is tried again under a new stamp": Scenario(
        3, ((X, 1, True),), (Wish(_UPDATE, X, 2), Wish(_UPDATE, X, 3), Wish(_CREATE, Y, 1)), tries=2
    ),
    "one update lowers, one raises": Scenario(
        3, ((X, 2, True),), (Wish(_UPDATE, X, 1), Wish(_UPDATE, X, 3), Wish(_CREATE, Y, 1))
    ),
    "a delete races with an update": Scenario(
        2, ((X, 1, True),), (Wish(_DELETE, X), Wish(_UPDATE, X, 2), Wish(_CREATE, Y, 1))
    ),
    "a delete races with a person's delete, and a list is stale": Scenario(
        2,
        ((X, 1, True),),
        (Wish(_DELETE, X), Wish(_UPDATE, X, 2)),
        (Deed("delete", X),),
        relists=1,
        restarts=1,
    ),
    "one name is created, deleted and created": Scenario(
        1,
        (),
        (Wish(_CREATE, X, 1), Wish(_DELETE, X), Wish(_CREATE, X, 1), Wish(_CREATE, Y, 1)),
        relists=1,
    ),
    "a list skips versions": Scenario(
        3,
        ((X, 1, True),),
        (Wish(_UPDATE, X, 2), Wish(_UPDATE, X, 3)),
        (Deed("scale", X, 1),),
        relists=1,
    ),
    "a person brings an old version back": Scenario(
        3,
        ((X, 1, True),),
        (Wish(_UPDATE, X, 2), Wish(_UPDATE, X, 3)),
        (Deed("undo", X),),
        relists=1,
    ),
    "a person brings an old version back and strips stamps": Scenario(
        3,
        ((X, 1, True),),
        (Wish(_UPDATE, X, 2), Wish(_UPDATE, X, 3)),
        (Deed("undo", X), Deed("strip", X)),
        relists=1,
    ),
    "a person strips the stamp of what was created": Scenario(
        2, (), (Wish(_CREATE, X, 1), Wish(_UPDATE, X, 2)), (Deed("strip", X),), relists=1
    ),
    "two settlers at once": Scenario(
        2, (), (Wish(_CREATE, X, 1), Wish(_CREATE, Y, 1), Wish(_UPDATE, X, 2)), settlers=2
    ),
    "two settlers, a gap and a restart": Scenario(
        2, (), (Wish(_CREATE, X, 1), Wish(_UPDATE, X, 2)), settlers=2, relists=1, restarts=1
    ),
    "two kinds in two watches, creates": Scenario(
        2, ((X, 1, True),), (Wish(_CREATE, Y, 1), Wish(_UPDATE, X, 2)), settlers=2, kinds=(0, 1)
    ),
    "two kinds in two watches, a delete": Scenario(
        2,
        ((X, 1, True), (Y, 1, True)),
        (Wish(_UPDATE, X, 2), Wish(_DELETE, Y), Wish(_CREATE, Y, 1)),
        settlers=2,
        kinds=(0, 1),
    ),
    "two kinds in two watches, updates": Scenario(
        4,
        ((X, 1, True), (Y, 1, True)),
        (Wish(_UPDATE, X, 2), Wish(_UPDATE, Y, 2), Wish(_UPDATE, X, 3)),
        settlers=2,
        kinds=(0, 1),
    ),
    "requests die, and the clock ends them": Scenario(
        2, (), (Wish(_CREATE, X, 1), Wish(_CREATE, X, 1), Wish(_CREATE, Y, 2))
    ),
    "a scale leaves no stamp": Scenario(
        3,
        ((X, 1, True),),
        (Wish(_SCALE, X, 2), Wish(_CREATE, Y, 1)),
        (Deed("scale", X, 2),),
        relists=1,
    ),
    "two scales to one size": Scenario(
        2, ((X, 1, True),), (Wish(_SCALE, X, 2), Wish(_SCALE, X, 2)), faults=1
    ),
    "two deletes, and a person's": Scenario(
        2, ((X, 1, True),), (Wish(_DELETE, X), Wish(_DELETE, X)), (Deed("delete", X),), faults=1
    ),
    "a person scales up and down while the settler restarts": Scenario(
        2,
        ((X, 1, True),),
        (Wish(_UPDATE, X, 2),),
        (Deed("scale", X, 3), Deed("scale", X, 1)),
        relists=1,
        restarts=1,
    ),
    "a person scales up while the settler restarts": Scenario(
        2,
        ((X, 1, True),),
        (Wish(_UPDATE, X, 2), Wish(_CREATE, Y, 1)),
        (Deed("scale", X, 3),),
        restarts=1,
    ),
    "a person copies the id of a write in flight": Scenario(
        2, ((X, 1, True),), (Wish(_UPDATE, X, 2),), (Deed("plant", X, change="0.0"),), relists=1
    ),
    "updates are stored in another form than was validated": Scenario(
        3,
        ((X, 1, True),),
        (Wish(_UPDATE, X, 2), Wish(_UPDATE, X, 3)),
        (Deed("scale", X, 1),),
        relists=1,
        tries=2,
        reshaped=(X,),
    ),
    "a status is stored in another form than was validated": Scenario(
        3,
        ((X, 1, True),),
        (Wish(_SCALE, X, 2), Wish(_UPDATE, X, 3)),
        (Deed("strip", X),),
        relists=1,
        reshaped=(X,),
    ),
    "a write is stored in another form, and its id is copied": Scenario(
        2,
        ((X, 1, True),),
        (Wish(_UPDATE, X, 2), Wish(_CREATE, Y, 1)),
        (Deed("plant", X, change="0.0"),),
        relists=1,
        reshaped=(X, Y),
    ),
    "a person creates again from a copy": Scenario(
        1, (), (Wish(_CREATE, X, 1), Wish(_CREATE, Y, 1)), (Deed("delete", X), Deed("copy", X))
    ),
    "the agent is suspended, and asks again": Scenario(
        2,
        ((X, 1, True),),
        (Wish(_UPDATE, X, 2), Wish(_CREATE, Y, 1)),
        (Deed("suspend"),),
        faults=1,
        tries=2,
    ),
    "an answer is 503 although the entry is there": Scenario(
        1, (), (Wish(_CREATE, X, 1), Wish(_CREATE, Y, 1)), faults=1
    ),
    "an agent raises a person's object": Scenario(
        2, ((X, 1, False),), (Wish(_UPDATE, X, 3), Wish(_CREATE, Y, 2))
    ),
    "an agent adopts a person's object": Scenario(
        2, ((X, 1, False),), (Wish(_UPDATE, X, 2), Wish(_CREATE, Y, 1)), restarts=1
    ),
    "the limit is lowered": Scenario(
        2, (), (Wish(_CREATE, X, 1), Wish(_CREATE, Y, 1)), (Deed("limit", ask=1),)
    ),
    "a later request has seen what the list has not": Scenario(
        1,
        (),
        (Wish(_CREATE, X, 1), Wish(_DELETE, X), Wish(_CREATE, Y, 1)),
        (Deed("delete", X),),
        restarts=1,
    ),
    "two deletes of an object with a finalizer": Scenario(
        2,
        ((X, 1, True),),
        (Wish(_DELETE, X), Wish(_DELETE, X)),
        (Deed("finish", X),),
        relists=1,
        finalizers=(X,),
    ),
    "an update that takes the finalizer away ends the object": Scenario(
        2,
        ((X, 1, True),),
        (Wish(_UPDATE, X, 0), Wish(_UPDATE, X, 2)),
        (Deed("end", X),),
        relists=1,
        finalizers=(X,),
    ),
    "a person's write comes before the deletion that an update is": Scenario(
        2,
        ((X, 1, True),),
        (Wish(_UPDATE, X, 0),),
        (Deed("end", X), Deed("scale", X, 3)),
        relists=1,
        finalizers=(X,),
    ),
    "a scale of an object that is ending": Scenario(
        2,
        ((X, 1, True),),
        (Wish(_SCALE, X, 2), Wish(_DELETE, X)),
        (Deed("end", X), Deed("finish", X)),
        finalizers=(X,),
    ),
    "two changes are allowed, of which one may be lost": Scenario(
        5,
        ((X, 1, True),),
        (Wish(_UPDATE, X, 2), Wish(_UPDATE, X, 2), Wish(_CREATE, Y, 1)),
        settlers=2,
        changes=2,
    ),
    "one change is allowed in an hour, and the hour ends": Scenario(
        5, ((X, 1, True),), (Wish(_UPDATE, X, 2), Wish(_CREATE, Y, 1)), changes=1, hours=1
    ),
    "one change is allowed in an hour, two settlers, a gap": Scenario(
        5,
        (),
        (Wish(_CREATE, X, 1), Wish(_UPDATE, X, 2)),
        settlers=2,
        relists=1,
        changes=1,
        hours=1,
    ),
    "a name is created twice though one change is allowed": Scenario(
        1, (), (Wish(_CREATE, X, 1), Wish(_CREATE, X, 1)), (Deed("delete", X),), changes=1
    ),
    "one delete is allowed, and two are asked for": Scenario(
        2, ((X, 1, True),), (Wish(_DELETE, X), Wish(_UPDATE, X, 2)), relists=1, changes=1
    ),
    "an ending object is raised and let go though one change is allowed": Scenario(
        2,
        ((X, 1, True),),
        (Wish(_UPDATE, X, 0), Wish(_UPDATE, X, 2)),
        (Deed("end", X),),
        finalizers=(X,),
        changes=1,
    ),
    "two kinds, of which one list is later than the other watch": Scenario(
        2,
        ((X, 1, True),),
        (Wish(_CREATE, Y, 1), Wish(_UPDATE, X, 2)),
        relists=1,
        restarts=1,
        kinds=(0, 1),
    ),
}
