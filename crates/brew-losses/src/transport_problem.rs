//! The transport problem, solved exactly by the simplex method on its spanning trees.

use crate::LossError;

/// A share of the larger sum by which supply and demand may differ: rounding, and no more.
const UNBALANCED: f64 = 1e-6;

/// A share of the largest cost below which a saving is rounding.
const SAVING: f64 = 1e-12;

/// How much goes from each row to each column at the least cost.
#[derive(Debug, Clone, PartialEq)]
pub struct TransportPlan {
    /// Mass from each row to each column.
    pub flow: Vec<Vec<f64>>,
    /// `Σ flow · cost`.
    pub cost: f64,
}

/// The cheapest way to move the masses `supply` of the rows to the masses `demand` of the columns.
///
/// Minimises `Σ f_ij cost_ij` over `f ≥ 0` with row sums `supply` and column sums `demand`, exactly up to
/// rounding (the transportation simplex with Bland's rule, which cannot cycle; Dantzig, "Application of
/// the simplex method to a transportation problem", 1951). Meant for tens of rows and columns, such as
/// the layers of two models. Where several flows cost the same, it is one of them.
///
/// # Errors
/// [`LossError::Transport`]: a cost or mass is not finite, a mass is negative, the numbers of rows or
/// columns differ, or the sums of supply and demand differ by more than rounding.
///
/// ```
/// let plan = brew_losses::transport_plan(&[vec![1.0, 4.0], vec![2.0, 1.0]], &[3.0, 1.0], &[2.0, 2.0])?;
/// assert_eq!(plan.flow, [[2.0, 1.0], [0.0, 1.0]]);
/// assert_eq!(plan.cost, 2.0 + 4.0 + 1.0);
/// # Ok::<(), brew_losses::LossError>(())
/// ```
pub fn transport_plan(cost: &[Vec<f64>], supply: &[f64], demand: &[f64]) -> Result<TransportPlan, LossError> {
    check(cost, supply, demand)?;
    let mut flow = vec![vec![0.0; demand.len()]; supply.len()];
    if supply.is_empty() || demand.is_empty() {
        return Ok(TransportPlan { flow, cost: 0.0 });
    }
    let largest = cost.iter().flatten().fold(0.0f64, |largest, cost| largest.max(cost.abs()));
    let mut tree = northwest_corner(&mut flow, supply, demand);
    while let Some(entering) = first_saving(cost, &tree, SAVING * largest) {
        exchange(&mut flow, &mut tree, entering);
    }
    let total = flow.iter().flatten().zip(cost.iter().flatten()).map(|(flow, cost)| flow * cost).sum();
    Ok(TransportPlan { flow, cost: total })
}

fn check(cost: &[Vec<f64>], supply: &[f64], demand: &[f64]) -> Result<(), LossError> {
    let wrong = |reason: String| Err(LossError::Transport { reason });
    if cost.len() != supply.len() {
        return wrong(format!("there are {} rows of costs, but {} supplies", cost.len(), supply.len()));
    }
    if let Some(row) = cost.iter().find(|row| row.len() != demand.len()) {
        return wrong(format!("there are {} columns of costs, but {} demands", row.len(), demand.len()));
    }
    if let Some(cost) = cost.iter().flatten().find(|cost| !cost.is_finite()) {
        return wrong(format!("a cost is {cost}, but must be a finite number"));
    }
    if let Some(mass) = supply.iter().chain(demand).find(|mass| !(mass.is_finite() && **mass >= 0.0)) {
        return wrong(format!("a mass is {mass}, but must be a finite number of at least 0"));
    }
    let (supplied, demanded) = (supply.iter().sum::<f64>(), demand.iter().sum::<f64>());
    if (supplied - demanded).abs() > UNBALANCED * supplied.max(demanded) {
        return wrong(format!("the supply sums to {supplied} and the demand to {demanded}, but must agree"));
    }
    Ok(())
}

/// The cells of a spanning tree of rows and columns; all others have no flow.
type Tree = Vec<(usize, usize)>;

/// A first flow: from the first row and column on, as much as both still take.
fn northwest_corner(flow: &mut [Vec<f64>], supply: &[f64], demand: &[f64]) -> Tree {
    let (rows, columns) = (supply.len(), demand.len());
    let (mut supply, mut demand) = (supply.to_vec(), demand.to_vec());
    let (mut row, mut column) = (0, 0);
    let mut tree = Tree::with_capacity(rows + columns - 1);
    loop {
        let is_last_row = row + 1 == rows;
        let is_last_column = column + 1 == columns;
        // The last row and column take what is left, which is rounding at most.
        let mass = match (is_last_row, is_last_column) {
            (true, false) => demand[column],
            (false, true) => supply[row],
            _ => supply[row].min(demand[column]),
        };
        let mass = mass.max(0.0);
        flow[row][column] = mass;
        tree.push((row, column));
        if is_last_row && is_last_column {
            return tree;
        }
        supply[row] -= mass;
        demand[column] -= mass;
        if is_last_column || (!is_last_row && supply[row] <= demand[column]) {
            row += 1;
        } else {
            column += 1;
        }
    }
}

/// The first cell outside the tree through which flow would be cheaper by more than `rounding`.
fn first_saving(cost: &[Vec<f64>], tree: &Tree, rounding: f64) -> Option<(usize, usize)> {
    let (of_rows, of_columns) = prices(cost, tree);
    (0..cost.len())
        .flat_map(|row| (0..cost[row].len()).map(move |column| (row, column)))
        .find(|&(row, column)| cost[row][column] - of_rows[row] - of_columns[column] < -rounding)
}

/// Prices of rows and columns whose sum is the cost in each cell of the tree.
fn prices(cost: &[Vec<f64>], tree: &Tree) -> (Vec<f64>, Vec<f64>) {
    let mut of_rows = vec![None; cost.len()];
    let mut of_columns = vec![None; cost[0].len()];
    of_rows[0] = Some(0.0);
    let mut open: Tree = tree.clone();
    while !open.is_empty() {
        open.retain(|&(row, column)| {
            let cost = cost[row][column];
            match (of_rows[row], of_columns[column]) {
                (Some(price), None) => of_columns[column] = Some(cost - price),
                (None, Some(price)) => of_rows[row] = Some(cost - price),
                (None, None) => return true,
                (Some(_), Some(_)) => {}
            }
            false
        });
    }
    let known = |prices: Vec<Option<f64>>| prices.into_iter().map(Option::unwrap_or_default).collect();
    (known(of_rows), known(of_columns))
}

/// Sends as much as possible round the cycle that `entering` closes in the tree, and takes it in for the
/// cell that has nothing left.
fn exchange(flow: &mut [Vec<f64>], tree: &mut Tree, entering: (usize, usize)) {
    let path = path(tree, entering);
    // Along the path from the entering cell's row to its column, flow falls and rises in turn.
    let leaving = path
        .iter()
        .step_by(2)
        .copied()
        .min_by(|&(row, column), &(other_row, other_column)| {
            flow[row][column]
                .total_cmp(&flow[other_row][other_column])
                .then((row, column).cmp(&(other_row, other_column)))
        })
        .expect("a cycle has a cell whose flow falls");
    let mass = flow[leaving.0][leaving.1];
    for (index, &(row, column)) in path.iter().enumerate() {
        flow[row][column] += if index % 2 == 0 { -mass } else { mass };
    }
    flow[entering.0][entering.1] += mass;
    tree.retain(|cell| *cell != leaving);
    tree.push(entering);
}

/// The cells of the tree that lead from the row of `entering` to its column.
fn path(tree: &Tree, entering: (usize, usize)) -> Vec<(usize, usize)> {
    // Cells that are the only one of their row or column, `entering` included, are not on its cycle.
    let mut cycle: Tree = tree.iter().copied().chain([entering]).collect();
    loop {
        let before = cycle.len();
        let all = cycle.clone();
        cycle.retain(|cell| {
            all.iter().filter(|other| other.0 == cell.0).count() > 1
                && all.iter().filter(|other| other.1 == cell.1).count() > 1
        });
        if cycle.len() == before {
            break;
        }
    }
    // Each row and column of the cycle has two of its cells: leave each by the one not come by.
    let mut path = Vec::with_capacity(cycle.len() - 1);
    let (mut last, mut is_in_row) = (entering, true);
    loop {
        let next = cycle
            .iter()
            .copied()
            .find(|cell| *cell != last && if is_in_row { cell.0 == last.0 } else { cell.1 == last.1 })
            .expect("a row or column of a cycle has two cells");
        if next == entering {
            return path;
        }
        path.push(next);
        (last, is_in_row) = (next, !is_in_row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row and column sums, and no negative flow.
    fn assert_feasible(plan: &TransportPlan, supply: &[f64], demand: &[f64]) {
        assert!(plan.flow.iter().flatten().all(|flow| *flow >= 0.0), "{plan:?}");
        for (row, mass) in plan.flow.iter().zip(supply) {
            assert!((row.iter().sum::<f64>() - mass).abs() < 1e-9, "{plan:?}");
        }
        for (column, mass) in demand.iter().enumerate() {
            let sum: f64 = plan.flow.iter().map(|row| row[column]).sum();
            assert!((sum - mass).abs() < 1e-9, "{plan:?}");
        }
    }

    /// Numbers without a pattern in [0, 1).
    fn numbers(count: usize, salt: usize) -> Vec<f64> {
        let mut state = 0x9E37_79B9_7F4A_7C15u64.wrapping_mul(salt as u64 + 1);
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 11) as f64 / (1u64 << 53) as f64
            })
            .collect()
    }

    /// The least sum over all assignments, by trying them all.
    fn cheapest_assignment(cost: &[Vec<f64>], row: usize, is_taken: &mut Vec<bool>) -> f64 {
        if row == cost.len() {
            return 0.0;
        }
        let mut least = f64::INFINITY;
        for column in 0..cost.len() {
            if !is_taken[column] {
                is_taken[column] = true;
                least = least.min(cost[row][column] + cheapest_assignment(cost, row + 1, is_taken));
                is_taken[column] = false;
            }
        }
        least
    }

    #[test]
    fn equal_masses_are_the_cheapest_assignment() {
        for salt in 0..40 {
            let size = 1 + salt % 6;
            // Every fourth problem has few different costs, so that many flows cost the same.
            let digits = if salt % 4 == 0 { 3.0 } else { 1e9 };
            let cost: Vec<Vec<f64>> = numbers(size * size, salt)
                .chunks(size)
                .map(|row| row.iter().map(|cost| (cost * digits).floor() / digits).collect())
                .collect();
            let masses = vec![1.0; size];
            let plan = transport_plan(&cost, &masses, &masses).unwrap();
            assert_feasible(&plan, &masses, &masses);
            let least = cheapest_assignment(&cost, 0, &mut vec![false; size]);
            assert!((plan.cost - least).abs() < 1e-9, "{cost:?}: {} instead of {least}", plan.cost);
        }
    }

    #[test]
    fn large_and_degenerate_problems_are_solved() {
        for (rows, columns) in [(3, 12), (12, 24), (24, 12), (1, 9), (9, 1)] {
            for is_degenerate in [true, false] {
                let masses = |count: usize, salt: usize| -> Vec<f64> {
                    let masses = if is_degenerate { vec![1.0; count] } else { numbers(count, salt) };
                    let total: f64 = masses.iter().sum();
                    masses.into_iter().map(|mass| mass / total).collect()
                };
                let (supply, demand) = (masses(rows, 1), masses(columns, 2));
                let cost: Vec<Vec<f64>> =
                    numbers(rows * columns, 3).chunks(columns).map(<[f64]>::to_vec).collect();
                let plan = transport_plan(&cost, &supply, &demand).unwrap();
                assert_feasible(&plan, &supply, &demand);
                let tree: Vec<(usize, usize)> = plan
                    .flow
                    .iter()
                    .enumerate()
                    .flat_map(|(row, flows)| {
                        flows.iter().enumerate().filter(|(_, f)| **f > 0.0).map(move |(c, _)| (row, c))
                    })
                    .collect();
                assert!(tree.len() < rows + columns, "an optimal flow is on a tree");
            }
        }
    }

    #[test]
    fn nothing_to_move_costs_nothing() {
        let plan = transport_plan(&[vec![1.0, 2.0]], &[0.0], &[0.0, 0.0]).unwrap();
        assert_eq!(plan, TransportPlan { flow: vec![vec![0.0, 0.0]], cost: 0.0 });
        assert_eq!(transport_plan(&[], &[], &[]).unwrap(), TransportPlan { flow: vec![], cost: 0.0 });
    }

    #[test]
    fn negative_costs_are_used() {
        let plan = transport_plan(&[vec![0.0, -2.0], vec![-1.0, 0.0]], &[1.0, 1.0], &[1.0, 1.0]).unwrap();
        assert_eq!(plan, TransportPlan { flow: vec![vec![0.0, 1.0], vec![1.0, 0.0]], cost: -3.0 });
    }

    #[test]
    fn what_cannot_be_solved_is_an_error_that_says_why() {
        let error = |cost: &[Vec<f64>], supply: &[f64], demand: &[f64]| {
            transport_plan(cost, supply, demand).unwrap_err().to_string()
        };
        let cost = [vec![1.0, 2.0]];
        assert!(error(&cost, &[1.0], &[0.5, 0.6]).contains("supply sums to 1 and the demand to 1.1"));
        assert!(error(&cost, &[1.0], &[1.5, -0.5]).contains("a mass is -0.5"));
        assert!(error(&cost, &[f64::NAN], &[0.5, 0.5]).contains("a mass is NaN"));
        assert!(error(&[vec![1.0, f64::INFINITY]], &[1.0], &[0.5, 0.5]).contains("a cost is inf"));
        assert!(error(&cost, &[0.5, 0.5], &[0.5, 0.5]).contains("1 rows of costs, but 2 supplies"));
        assert!(error(&cost, &[1.0], &[1.0]).contains("2 columns of costs, but 1 demands"));
        assert!(error(&[], &[], &[1.0]).contains("must agree"));
    }
}
