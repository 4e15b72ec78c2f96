(* What is false, by counterexample. Each is a concrete model with its exact flow; all hypotheses of theorem_1_flow that
   are not the one in question are proved of it ([all_but_H3]).

     CE_A                 K(x, x_1) = 0 while the output moves: no a_1 exists.                      T1a without H3
     CE_A_no_average      K <> 0, and a_1 > 1 although - L'_1 stays in [1/e, 1].                    T1c without H4
     T1b_needs_tube       C^1 loss, descent stands still, a flow moves on.                          T1b without H1
     T1b_needs_horizon    a fixed number of steps goes nowhere as eps -> 0.                         T1b without H5
     R2b                  the loss-weighted path kernel is not symmetric.                           remark 2
     S11a                 a convex problem, a solution of it that no weight represents.             section 3

   Carries: T1a, T1b, T1c (as printed), R2b, S11. *)
From Coq Require Import Reals Lra Lia List.
From mathcomp Require Import ssreflect.
From Coquelicot Require Import Coquelicot.
From PathKernel Require Import FundamentalTheorem Euclidean Gradients Identity Kernel GradientDescent Theorem1 Example.
Open Scope R_scope.

(* every hypothesis of theorem_1_flow but H3 *)
Definition all_but_H3 (P : problem) (w : R -> Vec (dim P)) (T : R) (x : Input P) : Prop :=
  0 < T /\
  (forall v z, is_grad (fun u => output P u z) v (grad_output P v z)) /\
  (forall y u, is_derive (loss P y) u (loss_derivative P y u)) /\
  (forall t, 0 <= t <= T -> is_derive w t (opp (grad_loss P (w t)))) /\
  (forall i, (i < size P)%nat ->
     ex_RInt (fun t => dloss P (w t) i * tangent_kernel P (w t) x (example P i)) 0 T).

(* ---------------------------------------------------------------- bounds on 1/e, from 1 + x < exp x *)

Lemma exp_power (x : R) n : exp x ^ n = exp (INR n * x).
Proof.
induction n as [|n IH]; [simpl; now rewrite Rmult_0_l exp_0|].
rewrite S_INR -tech_pow_Rmult IH -exp_plus; f_equal; ring.
Qed.

Lemma inverse_of_e : 348 / 1000 < exp (-1) < 3845 / 10000.
Proof.
assert (L : (9 / 10) ^ 10 <= exp (-1)).
{ replace (exp (-1)) with (exp (- (1 / 10)) ^ 10) by (rewrite exp_power; f_equal; simpl; field).
  apply pow_incr. pose proof (exp_ineq1 (- (1 / 10)) ltac:(lra)). lra. }
assert (U : (12 / 11) ^ 11 <= exp 1).
{ replace (exp 1) with (exp (1 / 11) ^ 11) by (rewrite exp_power; f_equal; simpl; field).
  apply pow_incr. pose proof (exp_ineq1 (1 / 11) ltac:(lra)). lra. }
assert (I : exp (-1) * exp 1 = 1) by (rewrite -exp_plus; replace (-1 + 1) with 0 by ring; apply exp_0).
pose proof (exp_pos (-1)). split; [simpl in L; lra|]. simpl in U. nra.
Qed.

(* ---------------------------------------------------------------- CE-A: T1a without H3, T1c without H4 *)

(* f = w + x w^2, one example (0, 1): there the output is w, so that w = 1 - exp(-t); but K(x, 0) = 1 + 2x/e. *)
Definition CE_A_model : problem := {|
  dim := 0; Input := R; Target := R;
  output := fun (v : Vec 0) (x : R) => v + x * (v : R) ^ 2;
  grad_output := fun (v : Vec 0) (x : R) => (1 + 2 * x * v : Vec 0);
  size := 1; example := fun _ => 0; target := fun _ => 1;
  loss := half_square; loss_derivative := fun y' y => y - y' |}.

Definition CE_A_path (t : R) : Vec (dim CE_A_model) := saturating t.

Lemma CE_A_grad_loss (v : R) : grad_loss CE_A_model v = v - 1 :> R.
Proof. unfold grad_loss, dloss; simpl. unfold plus, zero, scal; simpl; unfold mult; simpl. in_R; ring. Qed.

Lemma CE_A_hypotheses x : all_but_H3 CE_A_model CE_A_path 1 x.
Proof.
split; [lra|split; [|split; [|split]]].
- intros v z. apply is_grad_is_derive. simpl. auto_derive; trivial. in_R; ring.
- exact half_square_derive.
- intros t _. replace (opp (grad_loss CE_A_model (CE_A_path t))) with (exp (- t) : Vec 0);
    [apply saturating_derive|].
  rewrite CE_A_grad_loss. unfold CE_A_path, saturating, opp; simpl. in_R; ring.
- intros i _. unfold dloss, tangent_kernel, CE_A_path, saturating; simpl.
  apply ex_RInt_cont; intros t _. apply (ex_derive_continuous (K := R_AbsRing) (V := R_NormedModule)).
  auto_derive; trivial.
Qed.

Lemma CE_A_path_kernel x : path_kernel CE_A_model CE_A_path 1 x 0 = 1 + 2 * x * exp (-1).
Proof.
apply RInt_value. set (F := fun t => t + 2 * x * (t + exp (- t))).
replace (1 + 2 * x * exp (-1)) with (minus (F 1) (F 0)).
- apply (@is_RInt_derive R_CompleteNormedModule F); intros t _;
    unfold F, tangent_kernel, CE_A_path, saturating; simpl.
  + auto_derive; trivial; ring.
  + apply (ex_derive_continuous (K := R_AbsRing) (V := R_NormedModule)). auto_derive; trivial.
- unfold F, minus, plus, opp; simpl. rewrite minus_one Ropp_0 exp_0. ring.
Qed.

Lemma CE_A_output x :
  output CE_A_model (CE_A_path 1) x = (1 - exp (-1)) + x * (1 - exp (-1)) ^ 2 /\
  output CE_A_model (CE_A_path 0) x = 0.
Proof.
simpl. unfold CE_A_path. rewrite saturating_0 saturating_1. split; ring.
Qed.

(* At x = -e/2 the path kernel vanishes while the output moves: no number a_1 serves. H3 cannot be dropped from T1a. *)
Theorem CE_A :
  let x := - exp 1 / 2 in
  all_but_H3 CE_A_model CE_A_path 1 x /\
  path_kernel CE_A_model CE_A_path 1 x 0 = 0 /\
  ~ exists a, output CE_A_model (CE_A_path 1) x
              = a * path_kernel CE_A_model CE_A_path 1 x 0 + output CE_A_model (CE_A_path 0) x.
Proof.
intros x. destruct (CE_A_output x) as [O1 O0]. pose proof inverse_of_e as [L U].
assert (I : exp 1 * exp (-1) = 1) by (rewrite -exp_plus; replace (1 + -1) with 0 by ring; apply exp_0).
assert (K : path_kernel CE_A_model CE_A_path 1 x 0 = 0).
{ rewrite CE_A_path_kernel. unfold x. replace (1 + 2 * (- exp 1 / 2) * exp (-1)) with (1 - exp 1 * exp (-1)) by field.
  lra. }
split; [apply CE_A_hypotheses|split; [exact K|]].
intros [a Ha]. rewrite K O1 O0 in Ha. unfold x in Ha.
(* times 2q, where q = 1/e: (1 - q)(3 q - 1) = 0 *)
set (q := exp (-1)) in *.
assert (H : 2 * q * (1 - q) - exp 1 * q * (1 - q) ^ 2 = 0).
{ transitivity (2 * q * (1 - q + - exp 1 / 2 * (1 - q) ^ 2)); [field|rewrite Ha; ring]. }
assert (Z : (1 - q) * (3 * q - 1) = 0) by (rewrite I in H; lra).
apply Rmult_integral in Z. lra.
Qed.

(* At x = -13/10 the path kernel does not vanish, and a_1 is greater than every value of - L'_1. H4 cannot be dropped
   from T1c. *)
Theorem CE_A_no_average :
  let x := - (13 / 10) in
  all_but_H3 CE_A_model CE_A_path 1 x /\
  path_kernel CE_A_model CE_A_path 1 x 0 <> 0 /\
  (forall t, 0 < t < 1 -> exp (-1) <= - dloss CE_A_model (CE_A_path t) 0 <= 1) /\
  1 < weight CE_A_model CE_A_path 1 x 0.
Proof.
intros x. destruct (CE_A_output x) as [O1 O0]. pose proof inverse_of_e as [L U].
assert (K := CE_A_path_kernel x). assert (Hyp := CE_A_hypotheses x).
assert (KP : 0 < path_kernel CE_A_model CE_A_path 1 x 0) by (rewrite K; unfold x; lra).
split; [exact Hyp|split; [lra|split]].
- intros t Ht. unfold dloss, CE_A_path, saturating; simpl.
  assert (exp (-1) <= exp (- t) <= exp 0) by (split; apply exp_le; lra). rewrite exp_0 in H.
  replace (- (1 - exp (- t) + 0 * ((1 - exp (- t)) * ((1 - exp (- t)) * 1)) - 1)) with (exp (- t)) by ring. lra.
- (* the ratio form, which holds here *)
  destruct Hyp as [HT [Hf [Hl [Hw Hi]]]].
  assert (E := theorem_1_flow CE_A_model CE_A_path 1 x HT Hf Hl Hw Hi (fun i _ => Rgt_not_eq _ _ KP)).
  rewrite O1 O0 in E. change (example CE_A_model) with (fun _ : nat => 0) in E. simpl sum in E.
  apply Rmult_lt_reg_r with (1 := KP). rewrite Rmult_1_l.
  replace (weight CE_A_model CE_A_path 1 x 0 * path_kernel CE_A_model CE_A_path 1 x 0)
    with (1 - exp (-1) + x * (1 - exp (-1)) ^ 2) by lra.
  rewrite K. unfold x. nra.
Qed.

(* ---------------------------------------------------------------- T1b without the tube (H1) *)

(* f = w, and the loss -(2/3) y sqrt(y), 0 for y <= 0: it is C^1, and its derivative -sqrt(y) is not Lipschitz at 0.
   Descent from 0 never moves; w = t^2/4 is a flow from 0 all the same. *)
Definition root_loss (_ : unit) (y : R) : R := - (2 / 3) * (y * sqrt y).

Definition CE_tube_model : problem := {|
  dim := 0; Input := unit; Target := unit;
  output := fun (v : Vec 0) _ => (v : R);
  grad_output := fun (v : Vec 0) _ => (1 : Vec 0);
  size := 1; example := fun _ => tt; target := fun _ => tt;
  loss := root_loss; loss_derivative := fun _ y => - sqrt y |}.

Definition CE_tube_path (t : R) : Vec (dim CE_tube_model) := t ^ 2 / 4.

Lemma root_loss_derive u y : is_derive (root_loss u) y (- sqrt y).
Proof.
destruct (Rtotal_order y 0) as [N|[Z|P]].
- (* 0 around y *)
  rewrite sqrt_neg_0; [|lra]. rewrite Ropp_0.
  apply is_derive_ext_loc with (fun _ => 0); [|apply (is_derive_const (K := R_AbsRing) (V := R_NormedModule))].
  assert (Hy : 0 < - y) by lra. exists (mkposreal _ Hy); intros z Hz.
  assert (B : Rabs (z - y) < - y) by exact Hz. apply Rabs_lt_between in B.
  unfold root_loss. rewrite sqrt_neg_0; [in_R; ring|lra].
- (* |root_loss h| <= |h| sqrt|h| *)
  subst y. rewrite sqrt_0 Ropp_0. apply is_derive_Reals. intros eps Heps.
  assert (Hd : 0 < eps ^ 2) by (apply pow_lt; exact Heps).
  exists (mkposreal _ Hd); intros h Hh Hb. simpl in Hb.
  unfold root_loss. rewrite Rplus_0_l sqrt_0.
  replace ((- (2 / 3) * (h * sqrt h) - - (2 / 3) * (0 * 0)) / h - 0) with (- (2 / 3) * sqrt h) by (field; exact Hh).
  rewrite Rabs_mult Rabs_Ropp (Rabs_pos_eq (2 / 3)); [|lra]. rewrite Rabs_pos_eq; [|apply sqrt_pos].
  apply Rle_lt_trans with (2 / 3 * eps); [|lra]. apply Rmult_le_compat_l; [lra|].
  rewrite -(sqrt_pow2 eps); [|lra]. apply sqrt_le_1_alt.
  apply Rle_trans with (Rabs h); [apply Rle_abs|left]. simpl; lra.
- unfold root_loss. auto_derive; [exact P|].
  assert (S : sqrt y * sqrt y = y) by (apply sqrt_sqrt; lra). assert (0 < sqrt y) by now apply sqrt_lt_R0.
  apply Rmult_eq_reg_l with (sqrt y); [|lra]. field_simplify; [|lra]. simpl. nra.
Qed.

Lemma CE_tube_grad_loss (v : R) : grad_loss CE_tube_model v = - sqrt v :> R.
Proof. unfold grad_loss, dloss; simpl. unfold plus, zero, scal; simpl; unfold mult; simpl. in_R; ring. Qed.

Lemma sqrt_CE_tube_path t : 0 <= t -> sqrt (t ^ 2 / 4) = t / 2.
Proof. intros Ht. replace (t ^ 2 / 4) with ((t / 2) ^ 2) by field. apply sqrt_pow2; lra. Qed.

Lemma CE_tube_hypotheses : all_but_H3 CE_tube_model CE_tube_path 2 tt.
Proof.
split; [lra|split; [|split; [|split]]].
- intros v z. apply is_grad_is_derive. exact (is_derive_id (K := R_AbsRing) v).
- exact root_loss_derive.
- intros t Ht. replace (opp (grad_loss CE_tube_model (CE_tube_path t))) with (t / 2 : Vec 0).
  + assert (D : is_derive (fun s => s ^ 2 / 4) t (t / 2)) by (auto_derive; trivial; field). exact D.
  + rewrite CE_tube_grad_loss. unfold CE_tube_path. rewrite sqrt_CE_tube_path; [|lra].
    unfold opp; simpl. in_R; ring.
- intros i _. apply ex_RInt_ext with (fun t => - (t / 2)).
  + rewrite Rmin_left; [|lra]. intros t Ht. change (- (t / 2) = - sqrt (t ^ 2 / 4) * (1 * 1)).
    rewrite sqrt_CE_tube_path; [ring|lra].
  + apply (ex_RInt_of_derive _ (fun _ => - (1 / 2))); intros t. auto_derive; trivial; field.
Qed.

Lemma CE_tube_descent eps k : descent (grad_loss CE_tube_model) eps (CE_tube_path 0) k = 0 :> R.
Proof.
assert (E0 : CE_tube_path 0 = 0 :> R) by (unfold CE_tube_path; field).
rewrite E0. induction k as [|k IH]; [reflexivity|].
change (minus (descent (grad_loss CE_tube_model) eps 0 k : R)
              (scal eps (grad_loss CE_tube_model (descent (grad_loss CE_tube_model) eps 0 k))) = 0 :> R).
rewrite IH CE_tube_grad_loss sqrt_0. unfold minus, plus, opp, scal; simpl; unfold mult; simpl. in_R; ring.
Qed.

(* Everything that theorem_1 asks for but the tube: and descent stays at 0, while the flow's decomposition gives 1. *)
Theorem T1b_needs_tube :
  all_but_H3 CE_tube_model CE_tube_path 2 tt /\
  (forall t, 0 <= t <= 2 -> norm (grad_loss CE_tube_model (CE_tube_path t)) <= 1) /\
  path_kernel CE_tube_model CE_tube_path 2 tt tt <> 0 /\
  sum 1 (fun i => weight CE_tube_model CE_tube_path 2 tt i * path_kernel CE_tube_model CE_tube_path 2 tt tt)
    + output CE_tube_model (CE_tube_path 0) tt = 1 /\
  forall eps, output CE_tube_model
                (descent (grad_loss CE_tube_model) eps (CE_tube_path 0) (steps 2 eps)) tt = 0.
Proof.
assert (Hyp := CE_tube_hypotheses).
assert (K : path_kernel CE_tube_model CE_tube_path 2 tt tt = 2).
{ unfold path_kernel, tangent_kernel; simpl. rewrite RInt_const. unfold scal; simpl; unfold mult; simpl; ring. }
split; [exact Hyp|split; [|split; [rewrite K; lra|split]]].
- intros t Ht. rewrite CE_tube_grad_loss. unfold CE_tube_path. rewrite sqrt_CE_tube_path; [|lra].
  change (Rabs (- (t / 2)) <= 1). rewrite Rabs_Ropp Rabs_pos_eq; lra.
- destruct Hyp as [HT [Hf [Hl [Hw Hi]]]].
  assert (H3 : forall i, (i < size CE_tube_model)%nat ->
            path_kernel CE_tube_model CE_tube_path 2 tt (example CE_tube_model i) <> 0) by (intros i _; simpl; lra).
  rewrite -(theorem_1_flow CE_tube_model CE_tube_path 2 tt HT Hf Hl Hw Hi H3).
  simpl. unfold CE_tube_path. field.
- intros eps. exact (CE_tube_descent eps _).
Qed.

(* ---------------------------------------------------------------- T1b without a fixed horizon (H5) *)

(* The linear model of Example.v, which has every other hypothesis. With any fixed number k of steps, descent stays at
   its start as eps -> 0, while the flow has moved. *)
Lemma linear_descent eps k :
  descent (grad_loss linear_model) eps (linear_path 0) k = 1 - (1 - eps) ^ k :> R.
Proof.
induction k as [|k IH].
- unfold descent, linear_path. rewrite saturating_0. in_R; simpl; ring.
- change (minus (descent (grad_loss linear_model) eps (linear_path 0) k : R)
     (scal eps (grad_loss linear_model (descent (grad_loss linear_model) eps (linear_path 0) k)))
     = 1 - (1 - eps) ^ S k :> R).
  rewrite IH linear_grad_loss. unfold minus, plus, opp, scal; simpl; unfold mult; simpl. in_R; ring.
Qed.

Theorem T1b_needs_horizon (k : nat) (x : R) : x <> 0 ->
  filterlim (fun eps => output linear_model (descent (grad_loss linear_model) eps (linear_path 0) k) x)
    (at_right 0) (locally (output linear_model (linear_path 0) x)) /\
  output linear_model (linear_path 1) x <> output linear_model (linear_path 0) x.
Proof.
intros Hx. assert (E0 : output linear_model (linear_path 0) x = (1 - (1 - 0) ^ k) * x).
{ rewrite Rminus_0_r pow1. simpl. unfold linear_path. rewrite saturating_0. ring. }
split.
- rewrite E0. apply filterlim_ext with (fun eps => (1 - (1 - eps) ^ k) * x).
  { intros eps. simpl output. now rewrite linear_descent. }
  apply (filterlim_filter_le_1 (F := locally 0)); [apply filter_le_within|].
  apply (ex_derive_continuous (K := R_AbsRing) (V := R_NormedModule) (fun eps => (1 - (1 - eps) ^ k) * x)).
  auto_derive; trivial.
- simpl. unfold linear_path. rewrite saturating_0 Rmult_0_l saturating_1.
  pose proof inverse_of_e. apply Rmult_integral_contrapositive_currified; [lra|exact Hx].
Qed.

(* ---------------------------------------------------------------- R2b: the loss-weighted path kernel *)

(* f = w x, examples (1, 0) and (2, 1), from 0: w = (2/5)(1 - exp(-5t)). *)
Definition R2b_model : problem := {|
  dim := 0; Input := R; Target := R;
  output := fun (v : Vec 0) (x : R) => (v : R) * x;
  grad_output := fun (v : Vec 0) (x : R) => (x : Vec 0);
  size := 2;
  example := fun i => match i with O => 1 | _ => 2 end;
  target := fun i => match i with O => 0 | _ => 1 end;
  loss := half_square; loss_derivative := fun y' y => y - y' |}.

Definition R2b_path (t : R) : Vec (dim R2b_model) := 2 / 5 * (1 - exp (- (5 * t))).

Lemma R2b_flow t : is_derive R2b_path t (opp (grad_loss R2b_model (R2b_path t))).
Proof.
replace (opp (grad_loss R2b_model (R2b_path t))) with (2 * exp (- (5 * t)) : Vec 0).
- assert (D : is_derive (fun s => 2 / 5 * (1 - exp (- (5 * s)))) t (2 * exp (- (5 * t))))
    by (auto_derive; trivial; field). exact D.
- unfold grad_loss, dloss, R2b_path; simpl. unfold opp, plus, zero, scal; simpl; unfold mult; simpl. in_R; field.
Qed.

(* the integral of an affine function of the path *)
Lemma R2b_integral a b :
  is_RInt (fun t => a + b * (2 / 5 * (1 - exp (- (5 * t))))) 0 1 (a + b * (2 / 25 * (4 + exp (-5)))).
Proof.
set (F := fun t => a * t + b * (2 / 5 * (t + exp (- (5 * t)) / 5))).
replace (a + b * (2 / 25 * (4 + exp (-5)))) with (minus (F 1) (F 0)).
- apply (@is_RInt_derive R_CompleteNormedModule F); intros t _; unfold F.
  + auto_derive; trivial; field.
  + apply (ex_derive_continuous (K := R_AbsRing) (V := R_NormedModule)). auto_derive; trivial.
- unfold F, minus, plus, opp; simpl. rewrite !Rmult_0_r Ropp_0 exp_0.
  replace (- (5 * 1)) with (-5) by ring. field.
Qed.

(* K^lp(x_1, x_2) <> K^lp(x_2, x_1): the loss-weighted path kernel is no kernel. *)
Theorem R2b :
  (forall t, is_derive R2b_path t (opp (grad_loss R2b_model (R2b_path t)))) /\
  loss_weighted_kernel R2b_model R2b_path 1 (example R2b_model 0) 1
    <> loss_weighted_kernel R2b_model R2b_path 1 (example R2b_model 1) 0.
Proof.
split; [exact R2b_flow|].
assert (E01 : loss_weighted_kernel R2b_model R2b_path 1 (example R2b_model 0) 1
              = - 2 + 4 * (2 / 25 * (4 + exp (-5)))).
{ apply RInt_value. apply is_RInt_ext with (2 := R2b_integral (-2) 4). intros t _.
  unfold dloss, tangent_kernel, R2b_path; simpl. in_R; ring. }
assert (E10 : loss_weighted_kernel R2b_model R2b_path 1 (example R2b_model 1) 0
              = 0 + 2 * (2 / 25 * (4 + exp (-5)))).
{ apply RInt_value. apply is_RInt_ext with (2 := R2b_integral 0 2). intros t _.
  unfold dloss, tangent_kernel, R2b_path; simpl. in_R; ring. }
rewrite E01 E10. assert (exp (-5) < 1) by (rewrite -exp_0; apply exp_increasing; lra). lra.
Qed.

(* ---------------------------------------------------------------- S11 (a): a convex problem with many solutions *)

(* L = (w_1 + w_2 - 1)^2 / 2, from 0: the flow keeps w_1 = w_2. *)
Definition pair (a b : R) : Vec 1 := (a, b).

Definition S11_model : problem := {|
  dim := 1; Input := Vec 1; Target := R;
  output := fun (v : Vec 1) (x : Vec 1) => dot x v;
  grad_output := fun (v : Vec 1) (x : Vec 1) => x;
  size := 1; example := fun _ => pair 1 1; target := fun _ => 1;
  loss := half_square; loss_derivative := fun y' y => y - y' |}.

Definition S11_path (t : R) : Vec (dim S11_model) := scal ((1 - exp (- (2 * t))) / 2) (pair 1 1).

Lemma S11_flow t : is_derive S11_path t (opp (grad_loss S11_model (S11_path t))).
Proof.
replace (opp (grad_loss S11_model (S11_path t))) with (scal (exp (- (2 * t))) (pair 1 1)).
- apply (is_derive_scal_l (fun s => (1 - exp (- (2 * s))) / 2)). auto_derive; trivial; field.
- unfold grad_loss, dloss. cbn [size vsum output grad_output example target loss_derivative S11_model].
  rewrite plus_zero_l -(scal_opp_l (K := R_Ring)). f_equal.
  unfold S11_path. rewrite dot_scal_r. simpl. unfold opp; simpl. in_R; field.
Qed.

(* u = (1, 0) solves the problem (its loss is least), and at the query (1, -1) its output is 1; but whatever the
   horizon, K = 0 and b = 0 there: no a_1 gives 1. *)
Theorem S11a :
  let u := pair 1 0 in let x := pair 1 (-1) in
  (forall t, is_derive S11_path t (opp (grad_loss S11_model (S11_path t)))) /\
  (forall v, total_loss S11_model u <= total_loss S11_model v) /\
  forall T, ~ exists a, output S11_model u x
    = a * path_kernel S11_model S11_path T x (example S11_model 0) + output S11_model (S11_path 0) x.
Proof.
intros u x. split; [exact S11_flow|split].
- intros v. unfold total_loss; simpl. unfold half_square.
  pose proof (pow2_ge_0 (1 * fst v + 1 * snd v - 1)). simpl in *. lra.
- intros T [a E].
  assert (K : path_kernel S11_model S11_path T x (example S11_model 0) = 0).
  { unfold path_kernel. rewrite (RInt_ext _ (fun _ => 0)).
    - rewrite RInt_const. unfold scal; simpl; unfold mult; simpl; ring.
    - intros t _. unfold tangent_kernel; simpl. in_R; ring. }
  assert (B : output S11_model (S11_path 0) x = 0).
  { change (dot x (S11_path 0) = 0). unfold S11_path. rewrite dot_scal_r. simpl. in_R; ring. }
  rewrite K B in E. simpl in E. lra.
Qed.
