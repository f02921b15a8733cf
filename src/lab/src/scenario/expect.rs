//! What must happen, by who decides for the site (docs/two-rooms.md, "What happens when"). Start at
//! [`Authority`]. Pure.

use site::Room;

use super::judge::Goal;

/// Who lets a room go on alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authority {
    Witness,
    /// A switch that cuts the other room's power. A lab has none, so it never confirms.
    Power,
    Preferred(Room),
    Operator,
}

/// Which rooms reach the witness while the rooms do not hear each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Third {
    Both,
    Only(Room),
    None,
}

impl Authority {
    /// The store's word for it.
    pub(super) fn parse(kind: &str) -> Option<Authority> {
        match kind {
            "witness" => Some(Authority::Witness),
            "power" => Some(Authority::Power),
            "operator" => Some(Authority::Operator),
            "preferred:a" => Some(Authority::Preferred(Room::A)),
            "preferred:b" => Some(Authority::Preferred(Room::B)),
            _ => None,
        }
    }

    /// Whether a room goes on when the other one, which it had met, is lost.
    pub(super) fn lets_go_on(self, survivor: Room) -> bool {
        match self {
            Authority::Witness => true,
            Authority::Preferred(room) => room == survivor,
            Authority::Power | Authority::Operator => false,
        }
    }

    /// Whether a room that was in sync with the other one goes on after it came up alone.
    pub(super) fn lets_come_up_alone(self) -> bool {
        self == Authority::Witness
    }

    /// What is seen after the link was cut.
    pub(super) fn when_cut(self, third: Third) -> Goal {
        match (self, third) {
            (Authority::Witness, Third::Both) => Goal::One(None),
            (Authority::Witness, Third::Only(room)) => Goal::One(Some(room)),
            (Authority::Preferred(room), _) => Goal::One(Some(room)),
            _ => Goal::Nobody,
        }
    }

    /// The ways to cut the link that differ.
    pub(super) fn cuts(self) -> &'static [Third] {
        match self {
            Authority::Witness => {
                &[Third::Both, Third::Only(Room::A), Third::Only(Room::B), Third::None]
            }
            _ => &[Third::None],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_on_is_what_the_table_says() {
        let check = |kind: &str, survives: [bool; 2], comes_up: bool, cut: Goal| {
            let authority = Authority::parse(kind).expect(kind);
            assert_eq!(
                [Room::A, Room::B].map(|room| authority.lets_go_on(room)),
                survives,
                "{kind}"
            );
            assert_eq!(authority.lets_come_up_alone(), comes_up, "{kind}");
            assert_eq!(authority.when_cut(Third::None), cut, "{kind}");
        };
        check("witness", [true, true], true, Goal::Nobody);
        check("preferred:a", [true, false], false, Goal::One(Some(Room::A)));
        check("preferred:b", [false, true], false, Goal::One(Some(Room::B)));
        check("operator", [false, false], false, Goal::Nobody);
        check("power", [false, false], false, Goal::Nobody);
        let witness = Authority::Witness;
        assert_eq!(witness.when_cut(Third::Both), Goal::One(None));
        assert_eq!(witness.when_cut(Third::Only(Room::B)), Goal::One(Some(Room::B)));
        assert_eq!(Authority::parse("oracle"), None);
    }
}
