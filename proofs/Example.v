(* The hypotheses of theorem_1 can be met: a model with one weight and one example.

   f_w(x) = w x, example (1, 1), loss (y - 1)^2 / 2, from w = 0 to T = 1. The flow is w(t) = 1 - exp(-t), K(2, 1) = 2.
   So theorem_1 is no statement about nothing; and its conclusion is that of a limit that is not trivial: y_T <> b.

   Carries: nothing of its own; it guards T1, T1a, T1b. *)
From Coq Require Import Reals Lra Lia List.
From mathcomp Require Import ssreflect.
From Coquelicot Require Import Coquelicot.
From PathKernel Require Import FundamentalTheorem Euclidean Gradients Identity GradientDescent Theorem1.
Open Scope R_scope.

(* ---------------------------------------------------------------- what every concrete flow below uses *)

Definition half_square (y' y : R) : R := (y - y') ^ 2 / 2.

Lemma half_square_derive y' y : is_derive (half_square y') y (y - y').
Proof. unfold half_square; auto_derive; trivial; field. Qed.

(* a derivative at every point gives continuity, and integrability *)
Lemma continuous_of_derive (g dg : R -> R) t : is_derive g t (dg t) -> continuous g t.
Proof. intros H. apply (ex_derive_continuous (K := R_AbsRing) (V := R_NormedModule)). now exists (dg t). Qed.

Lemma ex_RInt_of_derive (g dg : R -> R) a b : (forall t, is_derive g t (dg t)) -> ex_RInt g a b.
Proof. intros H. apply ex_RInt_cont; intros t _. now apply (continuous_of_derive g dg). Qed.

(* the path 1 - exp(-t): it solves w' = 1 - w *)
Definition saturating (t : R) : R := 1 - exp (- t).

Lemma saturating_derive t : is_derive saturating t (exp (- t)).
Proof. unfold saturating; auto_derive; trivial; ring. Qed.

Lemma saturating_0 : saturating 0 = 0.
Proof. unfold saturating. rewrite Ropp_0 exp_0; ring. Qed.

(* -1 as a number, and as minus the number 1 *)
Lemma minus_one : Ropp 1 = -1.
Proof. ring. Qed.

Lemma saturating_1 : saturating 1 = 1 - exp (-1).
Proof. unfold saturating. now rewrite minus_one. Qed.

Lemma saturating_between t : 0 <= t -> 0 <= saturating t < 1.
Proof.
intros Ht. unfold saturating. pose proof (exp_pos (- t)).
assert (exp (- t) <= 1) by (rewrite -exp_0; apply exp_le; lra). lra.
Qed.

(* ---------------------------------------------------------------- the linear model *)

Definition linear_model : problem := {|
  dim := 0; Input := R; Target := R;
  output := fun (v : Vec 0) (x : R) => (v : R) * x;
  grad_output := fun (v : Vec 0) (x : R) => (x : Vec 0);
  size := 1; example := fun _ => 1; target := fun _ => 1;
  loss := half_square; loss_derivative := fun y' y => y - y' |}.

Definition linear_path (t : R) : Vec (dim linear_model) := saturating t.

Lemma linear_grad_loss (v : R) : grad_loss linear_model v = v - 1 :> R.
Proof.
unfold grad_loss, dloss; simpl. unfold plus, zero, scal; simpl; unfold mult; simpl. in_R; ring.
Qed.

Lemma linear_differentiable (v : Vec 0) (z : R) :
  is_grad (fun u => output linear_model u z) v (grad_output linear_model v z).
Proof. apply is_grad_is_derive. simpl. auto_derive; trivial; ring. Qed.

Lemma linear_flow t : is_derive linear_path t (opp (grad_loss linear_model (linear_path t))).
Proof.
replace (opp (grad_loss linear_model (linear_path t))) with (exp (- t) : Vec 0); [apply saturating_derive|].
rewrite linear_grad_loss. unfold linear_path, saturating, opp; simpl. in_R; ring.
Qed.

Lemma linear_path_kernel T x x' : path_kernel linear_model linear_path T x x' = T * (x * x').
Proof.
unfold path_kernel, tangent_kernel; simpl. rewrite RInt_const. unfold scal; simpl; unfold mult; simpl; ring.
Qed.

Lemma linear_integrable x i T : ex_RInt (fun t =>
  dloss linear_model (linear_path t) i * tangent_kernel linear_model (linear_path t) x (example linear_model i)) 0 T.
Proof.
apply (ex_RInt_of_derive _ (fun t => exp (- t) * 1 * (x * 1))); intros t.
unfold dloss, tangent_kernel, linear_path, saturating; simpl. auto_derive; trivial; ring.
Qed.

Lemma linear_speed t : 0 <= t -> norm (grad_loss linear_model (linear_path t)) <= 1.
Proof.
intros Ht. rewrite linear_grad_loss. change (Rabs (saturating t - 1) <= 1).
pose proof (saturating_between t Ht). rewrite Rabs_left; lra.
Qed.

Lemma linear_Lipschitz (u v : Vec 0) :
  norm (minus (grad_loss linear_model u) (grad_loss linear_model v)) <= 1 * norm (minus u v).
Proof.
rewrite !linear_grad_loss Rmult_1_l. change (Rabs (u - 1 - (v - 1)) <= Rabs (u - v)).
right; f_equal; ring.
Qed.

Theorem hypotheses_can_be_met :
  filterlim
    (fun eps => output linear_model (descent (grad_loss linear_model) eps (linear_path 0) (steps 1 eps)) 2)
    (at_right 0)
    (locally (weight linear_model linear_path 1 2 0 * 2)) /\
  weight linear_model linear_path 1 2 0 * 2 = 2 * (1 - exp (-1)).
Proof.
assert (K : path_kernel linear_model linear_path 1 2 1 = 2) by (rewrite linear_path_kernel; ring).
assert (E0 : sum 1 (fun i => weight linear_model linear_path 1 2 i * path_kernel linear_model linear_path 1 2 1)
             + output linear_model (linear_path 0) 2 = weight linear_model linear_path 1 2 0 * 2).
{ cbn [sum]. rewrite K. change (output linear_model (linear_path 0) 2) with (saturating 0 * 2).
  rewrite saturating_0. ring. }
assert (Hflow : forall t, 0 <= t <= 1 -> is_derive linear_path t (opp (grad_loss linear_model (linear_path t))))
  by (intros; apply linear_flow).
assert (H3 : forall i, (i < size linear_model)%nat ->
          path_kernel linear_model linear_path 1 2 (example linear_model i) <> 0) by (intros i _; simpl; lra).
split.
- rewrite -E0.
  apply (theorem_1 linear_model linear_path 1 1 1 1 2); try lra; auto.
  + exact linear_differentiable.
  + exact half_square_derive.
  + intros t Ht; apply linear_speed; lra.
  + intros; apply linear_Lipschitz.
  + intros; apply linear_integrable.
- rewrite -E0.
  rewrite -(theorem_1_flow linear_model linear_path 1 2 Rlt_0_1 linear_differentiable half_square_derive Hflow
              (fun i _ => linear_integrable 2 i 1) H3).
  change (saturating 1 * 2 = 2 * (1 - exp (-1))). rewrite saturating_1. ring.
Qed.
